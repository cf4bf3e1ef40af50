"""The limit on the wall time of a transcription, with an engine that never ends by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from transcription_dagster.errors import TimeLimitExceeded, TranscriptionAborted
from transcription_dagster.model import Transcript
from transcription_dagster.pool.transcription_request import TranscriptionRequest
from transcription_dagster.settings import Settings
from transcription_dagster.workers.inference_work import TranscriptionWork
from transcription_dagster_tests.sample_transcripts import transcript


class EndlessEngine:
    """Transcribes until it is asked to stop, as the engine does between two windows."""

    def transcribe(self, *_: object, should_stop: Callable[[], bool], **__: object) -> None:
        while not should_stop():
            pass
        raise TranscriptionAborted


class QuickEngine:
    """Says the same of every recording."""

    def transcribe(self, *_: object, **__: object) -> Transcript:
        return transcript("Ferry leaves.")


@pytest.fixture
def work(tmp_path: Path) -> TranscriptionWork:
    settings = Settings(home=tmp_path, time_limit_factor=0.001, time_limit_floor_seconds=0.05)
    return TranscriptionWork(settings, cast(Any, EndlessEngine()))


REQUEST = TranscriptionRequest(
    recording="7f0c2b52-9d3b-4f0e-8a53-3b6f0a3f4f11",
    audio_key="7f0c2b52-9d3b-4f0e-8a53-3b6f0a3f4f11/audio.flac",
    audio_sha256="0" * 64,
    seconds=10.0,
    options=Settings().speech_options(),
)


def ignore_progress(_share: float) -> None:
    """Nobody watches."""


def test_a_transcription_is_stopped_at_its_limit_with_what_to_do(work: TranscriptionWork) -> None:
    prepared = (REQUEST, cast(Any, None))
    with pytest.raises(TimeLimitExceeded, match=r"for 10 s of audio; raise TRANSCRIPTION_TIME_LIMIT_FACTOR"):
        work.do(prepared, on_progress=ignore_progress, should_stop=lambda: False)


def test_one_that_somebody_stops_is_no_matter_of_the_limit(work: TranscriptionWork) -> None:
    with pytest.raises(TranscriptionAborted):
        work.do((REQUEST, cast(Any, None)), on_progress=ignore_progress, should_stop=lambda: True)


def test_what_a_recording_will_take_is_learnt_from_the_last(tmp_path: Path) -> None:
    work = TranscriptionWork(Settings(home=tmp_path), cast(Any, QuickEngine()))
    short, long = ((replace(REQUEST, seconds=seconds), cast(Any, None)) for seconds in (10.0, 30.0))
    assert work.expected_seconds(long) is None
    work.do(short, on_progress=ignore_progress, should_stop=lambda: False)
    expected = work.expected_seconds(short)
    assert expected
    assert work.expected_seconds(long) == pytest.approx(3 * expected)


def test_the_limit_grows_with_the_recording_and_has_a_floor() -> None:
    assert REQUEST.time_limit(factor=20, floor_seconds=30) == 200
    assert REQUEST.time_limit(factor=20, floor_seconds=300) == 300
