"""Transcripts for tests, made of plain text."""

from __future__ import annotations

from transcription_dagster.model import Transcript, Word

RECORDING = "00000000-0000-4000-8000-000000000001"


def spoken(text: str, *, confidence: float = 0.9) -> tuple[Word, ...]:
    """One word every half second, of 0.4 s."""
    return tuple(
        Word(word, place / 2, place / 2 + 0.4, confidence=confidence) for place, word in enumerate(text.split())
    )


def transcript(text: str, *, recording: str = RECORDING, language: str = "en") -> Transcript:
    """A transcript of these words."""
    words = spoken(text)
    return Transcript(recording, words, language=language, duration=len(words) / 2)
