"""Decoded segments as the program's own values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from whisper.audio import FRAMES_PER_SECOND

from transcription_dagster.model import DoubtfulSpeech, Gap, RemovedSpeech, Segment, Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.whisper.decoding.segments import DecodedSegment, TimedWord

#: Whisper uses the last 223 tokens of a prompt, and a word has at least one.
_PROMPT_WORDS = 223

Placed = TypeVar("Placed", RemovedSpeech, DoubtfulSpeech, Gap)


@dataclass(frozen=True, slots=True)
class Utterance:
    """A segment with its words, before the words of a recording are numbered."""

    start: float
    end: float
    words: tuple[Word, ...]
    #: Start of the window that it was decoded from; several utterances share one.
    window: float
    average_log_probability: float
    compression_ratio: float
    no_speech_probability: float
    temperature: float

    def shifted(self, seconds: float) -> Utterance:
        """Return the utterance shifted by `seconds`, with times to the millisecond; 0 keeps every time exactly."""
        if seconds == 0:
            return self
        words = (replace(word, start=_later(word.start, seconds), end=_later(word.end, seconds)) for word in self.words)
        return replace(
            self,
            start=_later(self.start, seconds),
            end=_later(self.end, seconds),
            window=_later(self.window, seconds),
            words=tuple(words),
        )


def with_words(utterance: Utterance, words: tuple[Word, ...]) -> Utterance:
    """Return an utterance with other words, at least one, and the times of the first and the last of them."""
    return replace(utterance, words=words, start=words[0].start, end=words[-1].end)


def words_of(spoken: Iterable[Utterance]) -> list[Word]:
    """Return the words of all utterances in one list."""
    return [word for utterance in spoken for word in utterance.words]


def middle_of(word: Word) -> float:
    """Return the moment, in seconds, by which a word belongs to a stretch of sound: its edges are inexact."""
    return (word.start + word.end) / 2


def utterances(segments: Iterable[DecodedSegment]) -> list[Utterance]:
    """Return the segments that have words."""
    spoken = []
    for segment in segments:
        words = tuple(_word(word, segment.language) for word in segment.words if word.text.strip())
        if words:
            spoken.append(
                Utterance(
                    start=segment.start,
                    end=segment.end,
                    words=words,
                    window=segment.window / FRAMES_PER_SECOND,
                    average_log_probability=segment.decoded.average_log_probability,
                    compression_ratio=segment.decoded.compression_ratio,
                    no_speech_probability=segment.decoded.no_speech_probability,
                    temperature=segment.decoded.temperature,
                )
            )
    return spoken


def _word(word: TimedWord, language: str) -> Word:
    return Word(
        text=word.text.strip(),
        start=word.start,
        end=word.end,
        confidence=word.probability,
        glued=not word.text[0].isspace(),
        language=language,
    )


def _later(time: float, seconds: float) -> float:
    """Return a time shifted by `seconds`, to the millisecond."""
    return round(time + seconds, 3)


def shifted(item: Placed, seconds: float) -> Placed:
    """Return a finding shifted by `seconds`, with times to the millisecond."""
    return replace(item, start=_later(item.start, seconds), end=_later(item.end, seconds))


def words_and_segments(spoken: Iterable[Utterance]) -> tuple[tuple[Word, ...], tuple[Segment, ...]]:
    """Return the words of all utterances in one list, and the segments that refer to them by index."""
    words: list[Word] = []
    segments: list[Segment] = []
    for utterance in spoken:
        first = len(words)
        words.extend(utterance.words)
        segments.append(
            Segment(
                start=utterance.start,
                end=utterance.end,
                first=first,
                stop=len(words),
                average_log_probability=utterance.average_log_probability,
                compression_ratio=utterance.compression_ratio,
                no_speech_probability=utterance.no_speech_probability,
                temperature=utterance.temperature,
            )
        )
    return tuple(words), tuple(segments)


def tail_of_text(spoken: Sequence[Utterance]) -> str:
    """Return the end of the text, at least as much of it as Whisper uses as a prompt."""
    return join_words(words_of(spoken[-_PROMPT_WORDS:])[-_PROMPT_WORDS:])
