"""Which jobs an executor claims, which run concurrently, and its report on its work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from transcription_dagster.pool.worker_registry import ExecutorWork, RecordingProgress
from transcription_dagster.settings import RUNS_AHEAD
from transcription_dagster.whisper.engine import Usage
from transcription_dagster.workers import executor_jobs
from transcription_dagster.workers.executor_jobs import DeviceSharing, Throughput

SLOTS = 8


def sharing(held: int, ending: int = 0) -> DeviceSharing:
    return DeviceSharing(["a job"] * held, lambda: SLOTS, lambda: ending)


@pytest.mark.parametrize(
    ("held", "ending", "takes"),
    [
        (0, 0, True),
        (SLOTS - 1, 0, True),
        (SLOTS, 0, False),
        (SLOTS, 1, True),
        (SLOTS + 1, 1, False),
        (SLOTS + 1, 5, True),
        (SLOTS + RUNS_AHEAD, 5, False),
    ],
)
def test_an_executor_claims_jobs_for_its_slots_and_two_for_ending_ones(held: int, ending: int, takes: bool) -> None:
    assert sharing(held, ending).may_claim == takes


def test_a_fuller_executor_leaves_the_next_job_to_others_longer() -> None:
    pauses = [sharing(held).pause for held in range(4)]
    assert pauses[0] == 0
    assert pauses == sorted(set(pauses))


def together(losses: Sequence[int], *, slots: int = SLOTS) -> list[list[int]]:
    """Return the concurrent jobs, each given as the number of executors lost over it, after each change."""

    async def run() -> list[list[int]]:
        shared = DeviceSharing([], lambda: slots, lambda: 0)
        running: list[int] = []
        concurrent: list[list[int]] = []

        async def job(lost: int) -> None:
            async with shared.wait_for_turn(lost):
                running.append(lost)
                concurrent.append(sorted(running))
                # Every job that may run beside it starts now.
                for _ in range(20):
                    await asyncio.sleep(0)
                running.remove(lost)

        await asyncio.gather(*(job(lost) for lost in losses))
        return concurrent

    return asyncio.run(run())


def largest(losses: Sequence[int], counts: Callable[[int], bool], *, slots: int = SLOTS) -> int:
    return max(sum(map(counts, group)) for group in together(losses, slots=slots))


def test_healthy_jobs_run_together() -> None:
    assert largest([0] * 5, lambda lost: lost == 0) == 5


def test_suspected_jobs_run_apart_in_small_groups() -> None:
    groups = together([0, 0, 1, 0, 1, 1, 1, 1])
    assert all(min(group) > 0 or max(group) == 0 for group in groups)
    assert max(len(group) for group in groups if max(group) == 1) == SLOTS // 4
    assert sorted(lost for group in groups for lost in group[-1:]).count(0) == 3


def test_a_job_that_cost_two_executors_runs_alone() -> None:
    assert all(group == [2] for group in together([0, 1, 2, 1]) if 2 in group)


def test_with_few_slots_a_suspected_job_runs_alone() -> None:
    assert largest([1, 1, 1], lambda lost: lost == 1, slots=1) == 1


def test_no_job_is_claimed_while_a_suspected_one_waits() -> None:
    async def run() -> tuple[int, int]:
        shared = DeviceSharing([], lambda: SLOTS, lambda: 0)
        before = shared.limit
        async with shared.wait_for_turn(2):
            return before, shared.limit

    assert asyncio.run(run()) == (SLOTS, 1)


def test_a_canceled_suspect_no_longer_keeps_other_jobs_waiting() -> None:
    async def hold(shared: DeviceSharing, lost: int, started: asyncio.Event) -> None:
        async with shared.wait_for_turn(lost):
            started.set()

    async def run() -> None:
        shared, started = DeviceSharing([], lambda: SLOTS, lambda: 0), asyncio.Event()
        async with shared.wait_for_turn(0):
            suspect = asyncio.create_task(hold(shared, 1, asyncio.Event()))
            healthy = asyncio.create_task(hold(shared, 0, started))
            while shared.limit == SLOTS:
                await asyncio.sleep(0)
            suspect.cancel()
            async with asyncio.timeout(10):
                await started.wait()
        await healthy

    asyncio.run(run())


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
    [
        ([], 0.0, "requests"),
        ([False, False], 0.0, "decoded audio"),
        ([True, False], 5.0, "spectrograms"),
        ([True], 10.0, None),
    ],
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
