"""Which languages a transcript is in, and which words are in which."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from transcription_dagster.model import Transcript, Word


@dataclass(frozen=True, slots=True)
class LanguageRun:
    """Neighbouring words in one language: `first` up to, not including, `stop`."""

    language: str
    first: int
    stop: int


def language_runs(words: Sequence[Word], language: str) -> Iterator[LanguageRun]:
    """Yield the words as runs of one language each; words that do not know theirs are in `language`."""
    first = 0
    for spoken, run in groupby(words, key=lambda word: word.language or language):
        stop = first + sum(1 for _ in run)
        yield LanguageRun(spoken, first, stop)
        first = stop


def spoken_seconds(words: Sequence[Word], language: str) -> dict[str, float]:
    """Return for how many seconds words are said in each language, the longest first.

    Words that do not know theirs are in `language`.
    """
    seconds: dict[str, float] = defaultdict(float)
    for word in words:
        seconds[word.language or language] += word.end - word.start
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def main_language(words: Sequence[Word], language: str) -> str:
    """Return the language that most is said in; `language` without words."""
    return next(iter(spoken_seconds(words, language)), language)


def language_between(transcript: Transcript, start: float, end: float) -> str:
    """Return the language that most is said in between two moments, in seconds."""
    words = transcript.words
    first = bisect_right(words, start, key=lambda word: word.end)
    stop = bisect_left(words, end, key=lambda word: word.start)
    return main_language(words[first:stop], transcript.language)
