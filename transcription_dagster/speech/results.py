"""Whisper's dictionaries as the program's own values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from transcription_dagster.model import Segment, Word


@dataclass(frozen=True, slots=True)
class Utterance:
    """A segment together with its words, before the words of a recording are numbered."""

    start: float
    end: float
    words: tuple[Word, ...]
    average_log_probability: float
    compression_ratio: float
    no_speech_probability: float
    temperature: float

    @property
    def text(self) -> str:
        return joined(self.words)


def utterances(segments: Iterable[Mapping[str, Any]], offset: float) -> list[Utterance]:
    """Return Whisper's segments that hold words, their times moved by `offset` seconds."""
    found = []
    for segment in segments:
        words = tuple(_word(word, offset) for word in segment["words"] if word["word"].strip())
        if words:
            found.append(
                Utterance(
                    start=_moved(segment["start"], offset),
                    end=_moved(segment["end"], offset),
                    words=words,
                    average_log_probability=float(segment["avg_logprob"]),
                    compression_ratio=float(segment["compression_ratio"]),
                    no_speech_probability=float(segment["no_speech_prob"]),
                    temperature=float(segment["temperature"]),
                )
            )
    return found


def _word(word: Mapping[str, Any], offset: float) -> Word:
    return Word(
        text=word["word"].strip(),
        start=_moved(word["start"], offset),
        end=_moved(word["end"], offset),
        confidence=float(word["probability"]),
        glued=not word["word"][0].isspace(),
    )


def _moved(seconds: float, offset: float) -> float:
    """Move a time; one that stays where it is stays exactly what Whisper said."""
    return round(float(seconds) + offset, 3) if offset else float(seconds)


def numbered(found: Iterable[Utterance]) -> tuple[tuple[Word, ...], tuple[Segment, ...]]:
    """Return the words of all utterances in one row, and the segments that point into it."""
    words: list[Word] = []
    segments: list[Segment] = []
    for utterance in found:
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


def joined(words: Iterable[Word]) -> str:
    """Return words as text, glued where they are."""
    return "".join(word.text if word.glued else f" {word.text}" for word in words).strip()
