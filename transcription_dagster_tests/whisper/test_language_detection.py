"""Which language is spoken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from transcription_dagster.errors import InvalidSetting
from transcription_dagster.whisper.language_detection import guess_language, language_code, speech_windows
from transcription_dagster.whisper.spans import Span
from transcription_dagster_tests.corpus import RATE, noise


class Listener:
    """Stands for a model: takes loud windows for French and quiet ones for German."""

    mels = 80

    def __init__(self, *, is_multilingual: bool) -> None:
        self.is_multilingual = is_multilingual

    def languages(self, windows: Sequence[torch.Tensor]) -> list[dict[str, float]]:
        assert all(window.shape == (80, 3000) for window in windows)
        french = [float(window.max() > 0) for window in windows]
        return [{"de": 1 - share, "fr": share} for share in french]


@pytest.fixture
def multilingual() -> Any:
    return Listener(is_multilingual=True)


@pytest.fixture
def english_only() -> Any:
    return Listener(is_multilingual=False)


@pytest.mark.parametrize(
    ("language", "code"),
    [(None, None), ("en", "en"), ("EN", "en"), ("en-GB", "en"), ("pt_BR", "pt"), ("German", "de"), ("castilian", "es")],
)
def test_languages_by_code_and_by_name(multilingual, language, code):
    assert language_code(language, multilingual) == code


@pytest.mark.parametrize("language", ["xx", "", "klingon", "-", "en; drop table"])
def test_an_unknown_language_is_refused(multilingual, language):
    with pytest.raises(InvalidSetting, match="not a language"):
        language_code(language, multilingual)


def test_a_model_of_english_only_says_so(english_only):
    assert language_code("english", english_only) == "en"
    with pytest.raises(InvalidSetting, match="English only, not French"):
        language_code("fr", english_only)


def test_a_model_of_english_only_guesses_english(english_only):
    assert guess_language(english_only, np.zeros(RATE, np.float32), ()) == "en"


def test_where_nobody_speaks_there_is_no_guess(multilingual):
    assert guess_language(multilingual, np.zeros(RATE * 40, np.float32), ()) is None


def test_the_guess_is_made_from_speech_not_from_the_first_30_seconds(multilingual):
    samples = np.concatenate([np.zeros(90 * RATE, np.float32), noise(30)])
    assert guess_language(multilingual, samples, [Span(0, 30)]) == "de"
    assert guess_language(multilingual, samples, [Span(90, 120)]) == "fr"


def test_one_odd_window_does_not_decide(multilingual):
    samples = np.concatenate([noise(60), np.zeros(90 * RATE, np.float32)])
    assert guess_language(multilingual, samples, [Span(0, 29), Span(40, 60), Span(100, 130)]) == "fr"


def test_speech_shorter_than_a_window_is_enough(multilingual):
    assert guess_language(multilingual, noise(1), [Span(0.2, 0.9)]) == "fr"


@pytest.mark.parametrize(
    ("speech", "seconds", "starts"),
    [
        ([], 60, []),
        ([Span(1, 4)], 5, [0]),
        ([Span(100, 130)], 200, [100]),
        ([Span(195, 200)], 200, [170]),
        ([Span(0, 2), Span(50, 80), Span(100, 120)], 200, [0, 50, 100]),
        ([Span(0, 1), Span(50, 60), Span(100, 120), Span(150, 180)], 200, [50, 100, 150]),
        ([Span(0, 10), Span(12, 30), Span(31, 45)], 60, [12]),
    ],
)
def test_the_windows_with_most_speech_are_chosen_apart(speech, seconds, starts):
    assert speech_windows(speech, seconds) == starts
