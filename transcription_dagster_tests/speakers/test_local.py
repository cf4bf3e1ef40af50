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
from transcription_dagster.speakers.local import LocalDiarizer, diarized
from transcription_dagster_tests.speakers.scoring import (
    ONE_VOICE,
    diarization_errors,
    listen,
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


def test_the_words_of_an_interview_get_their_speakers(diarizer: LocalDiarizer) -> None:
    heard = listen(DEMO / INTERVIEW["file"], diarizer)
    found = diarized(heard, SpeakerLimits())
    assert speakers(found.turns) == set(found.voices) == {"spk_0", "spk_1"}
    assert found.turns[0].speaker == "spk_0"
    right, words = word_accuracy(INTERVIEW["words"], found.turns)
    assert right / words >= 0.97
    assert speakers(diarized(heard, SpeakerLimits("required", 1, 1)).turns) == {"spk_0"}
    assert len(speakers(diarized(heard, SpeakerLimits("required", 3, 3)).turns)) == 3


def test_one_voice_is_one_speaker(diarizer: LocalDiarizer) -> None:
    assert speakers(diarized(listen(DEMO / MEMO["file"], diarizer), SpeakerLimits()).turns) == {"spk_0"}


def test_silence_and_empty_sound_have_no_speakers(diarizer: LocalDiarizer) -> None:
    for samples in (np.zeros(0, np.float32), np.zeros(5, np.float32), np.zeros(12 * 16_000, np.float32)):
        found = diarizer.diarize([samples], SpeakerLimits(), on_progress=lambda _: None, should_stop=lambda: False)
        assert found.turns == ()


def test_diarization_stops_on_request(diarizer: LocalDiarizer) -> None:
    with pytest.raises(TranscriptionAborted):
        diarizer.diarize([np.zeros(16_000, np.float32)], SpeakerLimits(), on_progress=print, should_stop=lambda: True)


def test_a_phone_call_has_two_speakers(diarizer: LocalDiarizer) -> None:
    folder = speech()
    (call,) = [one for one in references(folder) if one.get("rttm") and "telephone" in one["kind"]]
    wanted = read_rttm(call["rttm"])
    found = diarized(listen(folder / call["file"], diarizer), SpeakerLimits()).turns
    assert len(speakers(found)) == len({turn.speaker for turn in wanted})
    assert diarization_errors(wanted, found).rate < 0.13


def test_recordings_of_one_reader_have_one_speaker(diarizer: LocalDiarizer) -> None:
    folder = speech()
    readings = [one for one in references(folder) if one["kind"].startswith(ONE_VOICE)]
    longest = sorted(readings, key=lambda one: -one["seconds"])[:2]
    for reading in longest:
        found = diarized(listen(folder / reading["file"], diarizer), SpeakerLimits()).turns
        assert speakers(found) == {"spk_0"}, reading["file"]


def speech() -> Path:
    folder = os.environ.get("TRANSCRIPTION_TEST_SPEECH")
    if not folder:
        pytest.skip("TRANSCRIPTION_TEST_SPEECH names no folder of human speech")
    return Path(folder)


def references(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "references.json").read_text(encoding="utf-8"))
