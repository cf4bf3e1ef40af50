"""Which models are used, and what happens if there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transcription_dagster.errors import ModelUnavailable, TranscriptionAborted
from transcription_dagster.model import SpeakerLimits, SpeakerTurn
from transcription_dagster.speakers import built_in
from transcription_dagster.speakers import engine as module
from transcription_dagster.speakers.diarizer import Diarization, Report
from transcription_dagster.speakers.engine import NOT_INSTALLED, SpeakerEngine
from transcription_dagster_tests.corpus import noise, write_wav

REQUIRED = SpeakerLimits("required", 2, 2)


class OneSpeaker:
    """A diarizer that finds one speaker from the first sample to the last."""

    model = "one-speaker"
    opened = 0

    def __init__(self, *_: object) -> None:
        type(self).opened += 1

    def diarize(self, blocks: Any, _limits: SpeakerLimits, report: Report) -> Diarization:
        seconds = sum(block.size for block in blocks) / 16_000
        report(seconds)
        return Diarization((SpeakerTurn(0.0, seconds, "spk_0"),), {"spk_0": np.array([0.6, 0.8])})


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "audio.wav", noise(2.0))


def ask(engine: SpeakerEngine, audio: Path, limits: SpeakerLimits, *, voices: bool = False) -> dict[str, Any]:
    return engine.answer(audio, limits, voices=voices, on_progress=lambda _: None, should_stop=lambda: False)


def test_without_models_auto_explains_how_to_install_them(audio: Path, tmp_path: Path) -> None:
    diarization = ask(SpeakerEngine("cpu", tmp_path), audio, SpeakerLimits())
    assert diarization == {"turns": [], "voices": {}, "model": "", "skipped": NOT_INSTALLED}


def test_a_number_of_speakers_requires_the_models(audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_folder: Path) -> Path:
        raise ModelUnavailable("no index")

    monkeypatch.setattr(module, "fetch_speaker_models", unreachable)
    with pytest.raises(ModelUnavailable, match="no index"):
        ask(SpeakerEngine("cpu", tmp_path), audio, REQUIRED)


def test_models_are_loaded_once_and_as_soon_as_they_are_installed(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built_in, "BuiltInDiarizer", OneSpeaker)
    monkeypatch.setattr(OneSpeaker, "opened", 0)
    engine = SpeakerEngine("cpu", tmp_path)
    assert ask(engine, audio, SpeakerLimits())["skipped"]
    monkeypatch.setattr(module, "speaker_models", lambda folder: folder)
    assert ask(engine, audio, SpeakerLimits())["turns"] == [[0.0, 2.0, "spk_0"]]
    assert ask(engine, audio, SpeakerLimits())["model"] == "one-speaker"
    assert OneSpeaker.opened == 1


def test_voices_are_returned_only_on_request(audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built_in, "BuiltInDiarizer", OneSpeaker)
    monkeypatch.setattr(module, "speaker_models", lambda folder: folder)
    engine = SpeakerEngine("cpu", tmp_path)
    assert ask(engine, audio, SpeakerLimits())["voices"] == {}
    assert ask(engine, audio, SpeakerLimits(), voices=True)["voices"] == {"spk_0": [0.6, 0.8]}


def test_diarization_reports_its_progress_and_stops_on_request(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built_in, "BuiltInDiarizer", OneSpeaker)
    monkeypatch.setattr(module, "speaker_models", lambda folder: folder)
    engine, progress = SpeakerEngine("cpu", tmp_path), list[float]()
    engine.answer(audio, SpeakerLimits(), voices=False, on_progress=progress.append, should_stop=lambda: False)
    assert progress == [2.0]
    with pytest.raises(TranscriptionAborted):
        engine.answer(audio, SpeakerLimits(), voices=False, on_progress=progress.append, should_stop=lambda: True)
    assert progress == [2.0]
