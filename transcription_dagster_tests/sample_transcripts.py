"""Transcripts for tests, made from plain text."""

from __future__ import annotations

from transcription_dagster.model import Transcript, Word

RECORDING = "00000000-0000-4000-8000-000000000001"


def spoken(text: str, *, confidence: float = 0.9) -> tuple[Word, ...]:
    """Return words of 0.4 s, one every half second."""
    return tuple(
        Word(word, place / 2, place / 2 + 0.4, confidence=confidence) for place, word in enumerate(text.split())
    )


def transcript(text: str, *, recording: str = RECORDING, language: str = "en") -> Transcript:
    """Return a transcript of these words."""
    words = spoken(text)
    return Transcript(recording, words, language=language, duration=len(words) / 2)
