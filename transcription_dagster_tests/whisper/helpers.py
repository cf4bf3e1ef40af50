"""Helpers for tests of speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from transcription_dagster.model import SpeechOptions, Transcript, Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.whisper.engine import SpeechEngine
from transcription_dagster.whisper.spans import Span, merged
from transcription_dagster.whisper.utterances import Utterance
from transcription_dagster.whisper.voice_activity import FRAME_SECONDS, Levels, Sound
from transcription_dagster_tests.corpus import RATE, write_wav
from transcription_dagster_tests.whisper.conftest import BULLETIN


def transcribe(
    engine: SpeechEngine,
    path: Path,
    *,
    on_progress: Callable[[float], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    **options: object,
) -> Transcript:
    """Transcribe a file, by default with the bulletin model."""
    return engine.transcribe(
        engine.prepare(path),
        SpeechOptions(**{"model": BULLETIN, **options}),  # type: ignore[arg-type]
        recording="some recording",
        on_progress=on_progress,
        should_stop=should_stop,
    )


def sound(folder: Path, *parts: np.ndarray | float) -> Path:
    """Write parts one after another; a number is a silence in seconds."""
    arrays = [np.zeros(round(part * RATE), np.float32) if isinstance(part, (int, float)) else part for part in parts]
    return write_wav(folder / "sound.wav", np.concatenate(arrays))


def text_of(transcript: Transcript) -> str:
    return join_words(transcript.words)


def word_errors(reference: str, transcript: str) -> int:
    """Return the edit distance in words, ignoring case and punctuation."""
    expected, actual = ([_plain(word) for word in text.split()] for text in (reference, transcript))
    row = list(range(len(actual) + 1))
    for number, word in enumerate(expected, start=1):
        previous, row = row, [number]
        for place, actual_word in enumerate(actual, start=1):
            row.append(min(previous[place] + 1, row[-1] + 1, previous[place - 1] + (word != actual_word)))
    return row[-1]


def _plain(word: str) -> str:
    return "".join(filter(str.isalnum, word)).lower()


def sounding(seconds: float, *, voice: Sequence[Span], loud: Sequence[Span] | None = None) -> Sound:
    """Return a sound with these voices, 40 dB above its noise in its loud parts, by default the voices."""
    moments = (np.arange(round(seconds / FRAME_SECONDS)) + 0.5) * FRAME_SECONDS

    def inside(spans: Sequence[Span]) -> np.ndarray:
        return np.array([any(span.holds(moment) for span in spans) for moment in moments], bool)

    levels = Levels(np.where(inside(voice if loud is None else loud), -30.0, -70.0), -70.0)
    return Sound(levels, inside(voice).astype(np.float32), merged(sorted(voice), 0.0), seconds)


def utterance_of(text: str, start: float, end: float, *, window: float = 0.0, compression: float = 1.2) -> Utterance:
    """Return an utterance whose words share its time evenly."""
    words = text.split()
    step = (end - start) / len(words)
    return Utterance(
        start=start,
        end=end,
        words=tuple(Word(word, start + n * step, start + (n + 1) * step) for n, word in enumerate(words)),
        window=window,
        average_log_probability=-0.2,
        compression_ratio=compression,
        no_speech_probability=0.01,
        temperature=0.0,
    )


def are_laid_on_speech(words: Sequence[Word], whispers: Sequence[tuple[float, float]]) -> bool:
    """Return whether words lie within Whisper's own times (s), which are rounded, or last as long as their voice."""
    next_starts = [word.start for word in words[1:]] + [float("inf")]
    return all(
        start - 0.006 <= word.start <= word.end <= max(end, min(end + 0.8, next_start)) + 0.006
        for word, (start, end), next_start in zip(words, whispers, next_starts, strict=True)
    )
