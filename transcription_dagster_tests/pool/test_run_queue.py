"""Jobs of run workers: reports about a job that another worker holds are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

from transcription_dagster.pool.connection import job_app, open_connection
from transcription_dagster.pool.run_queue import JobClaim, RunQueue, is_valid
from transcription_dagster.pool.work_queue import Lease
from transcription_dagster.pool.worker_registry import WorkerRecord

QUEUE = "a-queue"


class Workers:
    """The queues of run workers."""

    def __init__(self, url: str, open_queues: AsyncExitStack) -> None:
        self._url, self._open_queues = url, open_queues

    async def start(self) -> RunQueue:
        queue = RunQueue(self._url, WorkerRecord("run-1", "run"), [QUEUE])
        await queue.open()
        self._open_queues.push_async_callback(queue.connector.close_async)
        return queue

    async def claim(self) -> tuple[RunQueue, JobClaim]:
        queue = await self.start()
        return queue, await claimed(queue)


async def claimed(queue: RunQueue) -> JobClaim:
    claim = await queue.claim()
    assert claim is not None
    return claim


def on_workers(url: str, steps: Callable[[Workers], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        async with AsyncExitStack() as open_queues:
            return await steps(Workers(url, open_queues))

    return asyncio.run(run())


@pytest.fixture
def queued(queues: str) -> str:
    """Provide a database with one queued job."""
    with open_connection(queues) as connection:
        job_app.configure_task("do", allow_unknown=True, queue=QUEUE, connection=connection).defer(what="it")
    return queues


def state(url: str) -> tuple[str, int]:
    with open_connection(url) as connection:
        row = connection.execute("SELECT status::text, attempts FROM procrastinate_jobs").fetchone()
    assert row is not None
    return row["status"], row["attempts"]


def cancel(url: str) -> None:
    with open_connection(url) as connection:
        row = connection.execute("SELECT id FROM procrastinate_jobs").fetchone()
        assert row is not None
        job_app.job_manager.cancel_job_by_id(row["id"], abort=True, connection=connection)


async def succeed(queue: RunQueue, claim: JobClaim) -> None:
    await queue.finish(claim, None)


async def interrupt(queue: RunQueue, claim: JobClaim) -> None:
    await queue.give_back(claim, "the worker was stopped")


def test_a_worker_with_a_valid_lease_reports_the_end_of_its_job(queued: str) -> None:
    async def work(workers: Workers) -> None:
        queue, claim = await workers.claim()
        assert (claim.task, claim.arguments) == ("do", {"what": "it"})
        await succeed(queue, claim)
        assert await queue.leases() == {}

    on_workers(queued, work)
    assert state(queued) == ("succeeded", 1)


def test_the_queue_does_not_retry_a_failed_job(queued: str) -> None:
    async def work(workers: Workers) -> None:
        queue, claim = await workers.claim()
        await queue.fail(claim, ValueError())
        assert await queue.claim() is None

    on_workers(queued, work)
    assert state(queued) == ("failed", 1)


@pytest.mark.parametrize("report", [succeed, interrupt])
def test_the_end_of_a_requeued_job_is_refused(queued: str, report: Any) -> None:
    async def come_back_late(workers: Workers) -> None:
        queue, claim = await workers.claim()
        await queue.rescue(claim.lease)
        await report(queue, claim)

    on_workers(queued, come_back_late)
    assert state(queued) == ("todo", 1)


@pytest.mark.parametrize("report", [succeed, interrupt])
def test_the_end_of_another_workers_job_is_refused(queued: str, report: Any) -> None:
    async def come_back_late(workers: Workers) -> None:
        silent, claim = await workers.claim()
        await silent.rescue(claim.lease)
        rescuer, new_claim = await workers.claim()
        await report(silent, claim)
        assert (list(await silent.leases()), list(await rescuer.leases())) == ([], [new_claim.lease])

    on_workers(queued, come_back_late)
    assert state(queued) == ("doing", 1)


def test_a_reclaimed_job_ends_only_under_the_second_lease(queued: str) -> None:
    async def lose_and_take_again(workers: Workers) -> list[bool]:
        queue, first = await workers.claim()
        await queue.rescue(first.lease)
        second = await claimed(queue)
        valid = [await asyncio.to_thread(is_valid, queued, claim.lease) for claim in (first, second)]
        await succeed(queue, second)
        return valid

    assert on_workers(queued, lose_and_take_again) == [False, True]
    assert state(queued) == ("succeeded", 2)


def test_a_job_canceled_in_progress_is_aborted_and_not_requeued(queued: str) -> None:
    async def stop(workers: Workers) -> list[bool]:
        queue, claim = await workers.claim()
        canceled = [*(await queue.leases()).values()]
        await asyncio.to_thread(cancel, queued)
        canceled += (await queue.leases()).values()
        await interrupt(queue, claim)
        return canceled

    assert on_workers(queued, stop) == [False, True]
    assert state(queued) == ("aborted", 1)


def test_a_worker_is_notified_of_new_and_canceled_jobs(queued: str) -> None:
    async def hear(workers: Workers) -> bool:
        queue, claim = await workers.claim()
        notified = asyncio.Queue[Any]()
        watching = asyncio.create_task(queue.watch(notified.put_nowait))
        async with asyncio.timeout(30):
            while notified.empty():
                # Notifications before it listens are lost.
                await asyncio.to_thread(cancel, queued)
                await queue.connector.execute_query_async("UPDATE procrastinate_jobs SET abort_requested = false")
            work = await notified.get()
        watching.cancel()
        return work == claim.lease.work

    assert on_workers(queued, hear)


def test_a_job_of_a_forgotten_worker_is_rescued(queued: str) -> None:
    async def rescue(workers: Workers) -> None:
        _, claim = await workers.claim()
        rescuer = await workers.start()
        await rescuer.connector.execute_query_async(
            "DELETE FROM procrastinate_workers WHERE id <> %(id)s", id=rescuer._holder
        )
        (foreign,) = await rescuer.foreign_leases()
        assert foreign.lease == Lease(claim.lease.work, None, 0)
        await rescuer.rescue(foreign.lease)

    on_workers(queued, rescue)
    assert state(queued) == ("todo", 1)


def test_a_requeued_job_can_be_claimed_immediately_whatever_the_clocks_say(queued: str) -> None:
    async def give_back(workers: Workers) -> Any:
        queue, claim = await workers.claim()
        await interrupt(queue, claim)
        return await queue.connector.execute_query_one_async("SELECT scheduled_at FROM procrastinate_jobs")

    assert on_workers(queued, give_back) == {"scheduled_at": None}
