"""Which language is spoken: the one that was said, or a guess from windows in which somebody speaks.

Whisper guesses from the first 30 s, which may be silence, music or a ring tone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from whisper.audio import N_FRAMES, N_SAMPLES, log_mel_spectrogram, pad_or_trim

from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.errors import InvalidSetting
from transcription_dagster.language.codes import WHISPER_LANGUAGES, whisper_language
from transcription_dagster.whisper.spans import Span, common

_WINDOW_SECONDS = N_SAMPLES / SAMPLE_RATE

#: More windows cost time and seldom change the answer; one may be a quotation or a song.
_MOST_WINDOWS = 3


class LanguageModel(Protocol):
    """What is asked of a model here."""

    #: Bands of the spectrograms that it reads.
    mels: int

    @property
    def is_multilingual(self) -> bool: ...

    def languages(self, windows: Sequence[torch.Tensor]) -> Sequence[Mapping[str, float]]:
        """Return how likely each language is in windows of a spectrogram, each of shape (mels, 3000)."""
        ...


def language_code(language: str | None, model: LanguageModel) -> str | None:
    """Return Whisper's code of a language; None where it is to be detected.

    Raises `InvalidSetting` if Whisper, or this model, does not know it.
    """
    code = whisper_language(language)
    if code is not None and code != "en" and not model.is_multilingual:
        raise InvalidSetting(f"the model knows English only, not {WHISPER_LANGUAGES[code].title()}")
    return code


def guess_language(model: LanguageModel, samples: np.ndarray, speech: Sequence[Span]) -> str | None:
    """Return the ISO 639-1 code of the likeliest language of float32 `samples`; None where nobody speaks."""
    if not model.is_multilingual:
        return "en"
    if not speech:
        return None
    starts = speech_windows(speech, samples.size / SAMPLE_RATE)
    parts = (samples[round(start * SAMPLE_RATE) :][:N_SAMPLES] for start in starts)
    windows = [torch.as_tensor(pad_or_trim(log_mel_spectrogram(part, model.mels), N_FRAMES)) for part in parts]
    guesses = model.languages(windows)
    return max(guesses[0], key=lambda language: sum(guess[language] for guess in guesses))


def speech_windows(speech: Sequence[Span], seconds: float) -> list[float]:
    """Return where in a recording of `seconds` the windows start that hold most speech, apart and in order."""
    latest = max(0.0, seconds - _WINDOW_SECONDS)
    starts = sorted({min(span.start, latest) for span in speech}, key=lambda start: (-_speech_in(start, speech), start))
    chosen: list[float] = []
    for start in starts:
        if all(abs(start - other) >= _WINDOW_SECONDS for other in chosen):
            chosen.append(start)
    return sorted(chosen[:_MOST_WINDOWS])


def _speech_in(start: float, speech: Sequence[Span]) -> float:
    return sum(span.seconds for span in common(Span(start, start + _WINDOW_SECONDS), speech))
