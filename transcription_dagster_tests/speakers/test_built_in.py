"""Diarization with the real models, on the demo's recordings, whose turns are known."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transcription_dagster
from transcription_dagster.errors import TranscriptionAborted
from transcription_dagster.model import SpeakerLimits, SpeakerTurn
from transcription_dagster.speakers.built_in import BuiltInDiarizer
from transcription_dagster.speakers.turns import assign_speakers
from transcription_dagster_tests.speakers.scoring import (
    ONE_VOICE,
    diarization_errors,
    network_results,
    read_rttm,
    word_accuracy,
)

pytestmark = pytest.mark.slow

DEMO = Path(transcription_dagster.__file__).parent / "demo" / "recordings"
ENTRIES = {entry["title"]: entry for entry in json.loads((DEMO / "references.json").read_text(encoding="utf-8"))}
INTERVIEW = ENTRIES["The man inside the clock"]
MEMO = ENTRIES["A quiet memo"]


def speakers(turns: tuple[SpeakerTurn, ...]) -> set[str]:
    return {turn.speaker for turn in turns}


# `test_a_phone_call_has_two_speakers` does the same with a short recording.
@pytest.mark.exhaustive
def test_the_words_of_an_interview_get_their_speakers(diarizer: BuiltInDiarizer) -> None:
    results = network_results(DEMO / INTERVIEW["file"], diarizer)
    diarization = assign_speakers(results, SpeakerLimits())
    assert speakers(diarization.turns) == set(diarization.voices) == {"spk_0", "spk_1"}
    assert diarization.turns[0].speaker == "spk_0"
    correct, words = word_accuracy(INTERVIEW["words"], diarization.turns)
    assert correct / words >= 0.97
    assert speakers(assign_speakers(results, SpeakerLimits("required", 1, 1)).turns) == {"spk_0"}
    assert len(speakers(assign_speakers(results, SpeakerLimits("required", 3, 3)).turns)) == 3


def test_one_voice_is_one_speaker(diarizer: BuiltInDiarizer) -> None:
    assert speakers(assign_speakers(network_results(DEMO / MEMO["file"], diarizer), SpeakerLimits()).turns) == {"spk_0"}


def test_silence_and_empty_sound_have_no_speakers(diarizer: BuiltInDiarizer) -> None:
    for samples in (np.zeros(0, np.float32), np.zeros(5, np.float32), np.zeros(12 * 16_000, np.float32)):
        diarization = diarizer.diarize([samples], SpeakerLimits(), lambda _: None)
        assert diarization.turns == ()


def test_diarization_stops_on_request(diarizer: BuiltInDiarizer) -> None:
    def stop(_seconds: float) -> None:
        raise TranscriptionAborted

    with pytest.raises(TranscriptionAborted):
        diarizer.diarize([np.zeros(16_000, np.float32)], SpeakerLimits(), stop)


def test_a_phone_call_has_two_speakers(diarizer: BuiltInDiarizer) -> None:
    folder = speech()
    (call,) = [
        reference for reference in references(folder) if reference.get("rttm") and "telephone" in reference["kind"]
    ]
    expected = read_rttm(call["rttm"])
    diarization = assign_speakers(network_results(folder / call["file"], diarizer), SpeakerLimits()).turns
    assert len(speakers(diarization)) == len({turn.speaker for turn in expected})
    assert diarization_errors(expected, diarization).rate < 0.13


# `test_one_voice_is_one_speaker` does the same with a short recording.
@pytest.mark.exhaustive
def test_a_long_recording_of_one_reader_has_one_speaker(diarizer: BuiltInDiarizer) -> None:
    folder = speech()
    readings = [reading for reading in references(folder) if reading["kind"].startswith(ONE_VOICE)]
    longest = max(readings, key=lambda reading: reading["seconds"])
    turns = assign_speakers(network_results(folder / longest["file"], diarizer), SpeakerLimits()).turns
    assert speakers(turns) == {"spk_0"}, longest["file"]


def speech() -> Path:
    folder = os.environ.get("TRANSCRIPTION_TEST_SPEECH")
    if not folder:
        pytest.skip("TRANSCRIPTION_TEST_SPEECH names no folder of human speech")
    return Path(folder)


def references(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "references.json").read_text(encoding="utf-8"))
