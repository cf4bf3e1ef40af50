"""An executor's report on its work."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from transcription_dagster.pool.worker_registry import ExecutorWork, RecordingProgress
from transcription_dagster.whisper.engine import Usage
from transcription_dagster.workers import executor_jobs
from transcription_dagster.workers.executor_jobs import Throughput


def usage(*, windows: int = 0, worked: float = 0.0) -> Usage:
    return Usage(slots=4, busy=2, windows=windows, worked_seconds=worked)


def test_rates_are_those_of_the_last_minute() -> None:
    throughput = Throughput()
    with throughput.job("first") as first, throughput.job("second") as second:
        first.prepared(600.0)
        second.prepared(1200.0)
        first.progressed(0.5)
        throughput.measure(0.0, usage(windows=100, worked=50.0))
        throughput.measure(100.0, usage(windows=200, worked=140.0))
        first.progressed(1.0)
        second.progressed(0.25)
        throughput.measure(150.0, usage(windows=300, worked=190.0))
        described = throughput.described()
    assert described == ExecutorWork(
        slots=4,
        slots_busy=2,
        recordings=(RecordingProgress("first", 1.0), RecordingProgress("second", 0.25)),
        windows_per_second=2.0,
        audio_hours_per_hour=12.0,
        device_busy=1.0,
        waits_for=None,
    )
    assert ExecutorWork.from_json(described.as_json()) == described


def test_audio_of_ended_jobs_counts_in_the_rates() -> None:
    throughput = Throughput()
    throughput.measure(0.0, usage())
    with throughput.job("short") as job:
        job.prepared(60.0)
        job.progressed(1.0)
    throughput.measure(10.0, usage())
    assert throughput.described().audio_hours_per_hour == 6.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The jobs' clock."""
    now = [100.0]
    monkeypatch.setattr(executor_jobs, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_job_ends_soon_by_its_progress(clock: list[float]) -> None:
    throughput = Throughput()
    with throughput.job("long") as job:
        job.prepared(1000.0)
        clock[0] = 150.0
        job.progressed(0.5)
        assert throughput.ending == 0
        clock[0] = 198.0
        job.progressed(0.98)
        assert throughput.ending == 1
    assert throughput.ending == 0


def test_without_progress_the_last_jobs_pace_is_used(clock: list[float]) -> None:
    throughput = Throughput()
    with throughput.job("first") as first:
        first.prepared(20.0)
        clock[0] = 110.0
        first.progressed(1.0)
    with throughput.job("second") as second:
        assert throughput.ending == 0
        second.prepared(40.0)
        assert throughput.ending == 0
        clock[0] = 128.0
        assert throughput.ending == 1


@pytest.mark.parametrize(
    ("prepared", "worked", "waits_for"),
    [([], 0.0, "requests"), ([False, False], 0.0, "audio"), ([True, False], 5.0, "spectrograms"), ([True], 10.0, None)],
)
def test_the_report_names_the_bottleneck(prepared: list[bool], worked: float, waits_for: str | None) -> None:
    throughput = Throughput()
    with ExitStack() as jobs:
        for is_prepared in prepared:
            job = jobs.enter_context(throughput.job("one"))
            if is_prepared:
                job.prepared(10.0)
        throughput.measure(0.0, usage())
        throughput.measure(10.0, usage(worked=worked))
        bottleneck = throughput.described().waits_for
    assert bottleneck is None if waits_for is None else bottleneck is not None and bottleneck.startswith(waits_for)


def test_the_first_report_has_no_rates() -> None:
    throughput = Throughput()
    throughput.measure(0.0, usage(windows=7, worked=3.0))
    assert throughput.described().windows_per_second == 0.0
    assert throughput.described().rates() == (
        "2 of 4 slots, 0 windows a second, 0.0 hours of audio an hour; waits for requests"
    )
