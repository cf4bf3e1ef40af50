"""The measures of tests and benchmark, on turns counted by hand."""

from __future__ import annotations

import pytest

from transcription_dagster.model import SpeakerTurn
from transcription_dagster_tests.speakers.scoring import Errors, diarization_errors, read_rttm, word_accuracy

REFERENCE = read_rttm(
    [
        "SPEAKER call 1 0.000 4.000 <NA> <NA> Ann <NA> <NA>",
        "SPEAKER call 1 3.000 3.000 <NA> <NA> Bob <NA> <NA>",
        "",
    ]
)


def turns(*spans: tuple[float, float, str]) -> list[SpeakerTurn]:
    return [SpeakerTurn(*span) for span in spans]


def test_renamed_labels_are_not_an_error() -> None:
    assert diarization_errors(REFERENCE, turns((0, 4, "x"), (3, 6, "y"))) == Errors(7.0)


@pytest.mark.parametrize(
    ("hypothesis", "errors"),
    [
        ([], Errors(7.0, missed=7.0)),
        ([(0, 4, "x"), (4, 6, "y")], Errors(7.0, missed=1.0)),
        ([(0, 4, "x"), (3, 8, "y")], Errors(7.0, false=2.0)),
        ([(0, 6, "x")], Errors(7.0, missed=1.0, confused=2.0)),
        ([(0, 2, "x"), (2, 4, "z"), (3, 6, "y")], Errors(7.0, confused=2.0)),
    ],
)
def test_missed_false_and_confused_speech_is_counted(
    hypothesis: list[tuple[float, float, str]], errors: Errors
) -> None:
    counted = diarization_errors(REFERENCE, turns(*hypothesis))
    assert counted == errors
    assert counted.rate == pytest.approx((errors.missed + errors.false + errors.confused) / 7)


def test_words_belong_to_the_turn_with_most_of_their_time() -> None:
    words = [
        {"start": 0.0, "end": 1.0, "speaker": "Ann"},
        {"start": 1.8, "end": 2.6, "speaker": "Bob"},
        {"start": 5.0, "end": 6.0, "speaker": "Bob"},
    ]
    assert word_accuracy(words, turns((0, 2, "x"), (2, 3, "y"))) == (2, 3)
