"""Which jobs an executor claims, and which run concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from transcription_dagster.settings import RUNS_AHEAD
from transcription_dagster.workers.executor_jobs import DeviceSharing

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
