"""The time limit of a transcription, with an engine that never finishes by itself, and other work of executors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from transcription_dagster.errors import (
    EngineMissing,
    ModelUnavailable,
    TimeLimitExceeded,
    TranscriptionAborted,
    WorkerUnfit,
)
from transcription_dagster.model import SpeakerLimits, Transcript
from transcription_dagster.pool.inference_requests import SpeakersRequest, TranscriptionRequest
from transcription_dagster.pool.inference_work import SpeakersWork, TranscriptionWork
from transcription_dagster.settings import Settings
from transcription_dagster.whisper.recordings import PreparedRecording


class LimitedEngine:
    """An engine that works until the limit, or until it is asked to stop."""

    def __init__(self) -> None:
        self.limit: float | None = None

    def transcribe(self, *_: object, should_stop: Callable[[], bool], device_limit: float, **__: object) -> None:
        self.limit = device_limit
        if should_stop():
            raise TranscriptionAborted
        raise TimeLimitExceeded("stopped after 12 s of work on the device")


@pytest.fixture
def work(tmp_path: Path) -> TranscriptionWork:
    settings = Settings(home=tmp_path, time_limit_factor=0.001, time_limit_floor_seconds=0.05)
    return TranscriptionWork(settings, cast(Any, LimitedEngine()))


REQUEST = TranscriptionRequest(
    recording="7f0c2b52-9d3b-4f0e-8a53-3b6f0a3f4f11",
    audio_key="7f0c2b52-9d3b-4f0e-8a53-3b6f0a3f4f11/audio.flac",
    audio_sha256="0" * 64,
    seconds=10.0,
    options=Settings().speech_options(),
)

#: One channel, whose audio these engines ignore.
PREPARED = PreparedRecording(Path("audio.flac"), (cast(Any, None),))


def ignore_progress(_share: float) -> None:
    """Ignore the progress."""


def test_a_transcription_stops_at_its_time_limit_with_advice(work: TranscriptionWork) -> None:
    prepared = (REQUEST, PREPARED)
    with pytest.raises(
        TimeLimitExceeded, match=r"stopped after 12 s.*for 10 s of audio is 0 s; raise TRANSCRIPTION_TIME_LIMIT_FACTOR"
    ):
        work.do(prepared, on_progress=ignore_progress, should_stop=lambda: False)


def test_a_stop_request_is_not_reported_as_the_time_limit(work: TranscriptionWork) -> None:
    with pytest.raises(TranscriptionAborted):
        work.do((REQUEST, PREPARED), on_progress=ignore_progress, should_stop=lambda: True)


def test_the_limit_grows_with_the_recording_and_has_a_floor() -> None:
    assert REQUEST.time_limit(factor=20, floor_seconds=30) == 200
    assert REQUEST.time_limit(factor=20, floor_seconds=300) == 300


class OneSpeaker:
    """An engine that finds one speaker in every recording, and records its requests."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.heard: list[Path] = []

    def answer(
        self, path: Path, _limits: SpeakerLimits, *, voices: bool, on_progress: Any, **_: object
    ) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        self.heard.append(path)
        on_progress(7.5)
        return {"turns": [[0.0, 10.0, "spk_0"]], "voices": {}, "model": "model", "skipped": None}


SPEAKERS = SpeakersRequest(REQUEST.recording, REQUEST.audio_key, REQUEST.audio_sha256, 10.0, SpeakerLimits())


def speakers_work(home: Path, engine: OneSpeaker) -> SpeakersWork:
    work = SpeakersWork(Settings(home=home), "cpu")
    work._engine = cast(Any, engine)
    return work


def test_audio_in_the_store_is_diarized(tmp_path: Path) -> None:
    audio = tmp_path / "store" / SPEAKERS.audio_key
    audio.parent.mkdir(parents=True)
    audio.touch()
    engine, progress = OneSpeaker(), list[float]()
    work = speakers_work(tmp_path, engine)
    content = SPEAKERS.for_queue(run_id="run", queue="gpu").request
    prepared = work.prepare(json.loads(json.dumps(content)), tmp_path)
    assert work.seconds(prepared) == 10.0
    diarization = work.do(prepared, on_progress=progress.append, should_stop=lambda: False)
    assert (diarization["turns"], engine.heard, progress) == ([[0.0, 10.0, "spk_0"]], [audio], [0.75])


def test_missing_diarization_models_make_the_executor_unfit(tmp_path: Path) -> None:
    work = speakers_work(tmp_path, OneSpeaker(ModelUnavailable("no package index")))
    with pytest.raises(WorkerUnfit, match="no package index"):
        work.do((SPEAKERS, tmp_path), on_progress=ignore_progress, should_stop=lambda: False)


def test_another_number_of_speakers_is_another_request() -> None:
    requests = [SPEAKERS, replace(SPEAKERS, limits=SpeakerLimits("required", 2, 2)), replace(SPEAKERS, voices=True)]
    keys = {request.for_queue(run_id="run", queue="gpu").key for request in requests}
    assert len(keys) == 3
    assert SPEAKERS.for_queue(run_id="run", queue="gpu") == SPEAKERS.for_queue(run_id="run", queue="gpu")


def test_a_machine_without_the_engine_is_unfit_and_the_recording_does_not_fail(tmp_path: Path) -> None:
    class Engine:
        def transcribe(self, *_: object, **__: object) -> Transcript:
            raise EngineMissing("pip install it")

    work = TranscriptionWork(Settings(home=tmp_path), cast(Any, Engine()))
    with pytest.raises(WorkerUnfit, match="pip install it"):
        work.do((REQUEST, PREPARED), on_progress=ignore_progress, should_stop=lambda: False)
