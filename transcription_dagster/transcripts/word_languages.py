"""The languages of a transcript and of its words."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from transcription_dagster.model import Transcript, Word


@dataclass(frozen=True, slots=True)
class LanguageRun:
    """Consecutive words in one language: `first` up to but excluding `stop`."""

    language: str
    first: int
    stop: int


def language_runs(words: Sequence[Word], language: str) -> Iterator[LanguageRun]:
    """Yield the words as runs of one language each; words without a language count as `language`."""
    first = 0
    for spoken, run in groupby(words, key=lambda word: word.language or language):
        stop = first + sum(1 for _ in run)
        yield LanguageRun(spoken, first, stop)
        first = stop


def spoken_seconds(words: Sequence[Word], language: str) -> dict[str, float]:
    """Return the seconds of speech in each language, the longest first.

    Words without a language count as `language`.
    """
    seconds: dict[str, float] = defaultdict(float)
    for word in words:
        seconds[word.language or language] += word.end - word.start
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def main_language(words: Sequence[Word], language: str) -> str:
    """Return the language of most speech; `language` if there are no words."""
    return next(iter(spoken_seconds(words, language)), language)


def language_between(transcript: Transcript, start: float, end: float) -> str:
    """Return the language of most speech between two times, in seconds."""
    words = transcript.words
    first = bisect_right(words, start, key=lambda word: word.end)
    stop = bisect_left(words, end, key=lambda word: word.start)
    return main_language(words[first:stop], transcript.language)
