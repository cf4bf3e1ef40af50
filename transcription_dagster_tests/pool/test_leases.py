"""Jobs that were given to others: what their first worker reports of them is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import procrastinate
import pytest
from procrastinate.jobs import Job, Status

from transcription_dagster.pool.leases import HeldJobs, Lease, LeasingJobManager, is_valid
from transcription_dagster.pool.queue import jobs, open_connection, worker_app
from transcription_dagster.pool.worker_registry import requeue_job

QUEUE = "a-queue"


class AWorker:
    """The queue's side of a worker process."""

    def __init__(self, app: procrastinate.App, worker_id: int) -> None:
        self._app, self.worker_id, self.held = app, worker_id, HeldJobs()
        self.manager = LeasingJobManager(app, self.held, may_take=lambda: True, is_over=lambda: False)

    @classmethod
    async def start(cls, app: procrastinate.App) -> AWorker:
        return cls(app, await app.job_manager.register_worker())

    async def take(self) -> Job:
        job = await self.manager.fetch_job([QUEUE], self.worker_id)
        assert job is not None
        return job

    async def lose(self, job: Job) -> None:
        """Be taken for dead."""
        assert job.id is not None
        await requeue_job(self._app, job.id, self.worker_id, job.attempts)


def in_loop(url: str, steps: Callable[[procrastinate.App], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        async with worker_app(url).open_async() as app:
            return await steps(app)

    return asyncio.run(run())


@pytest.fixture
def queued(queues: str) -> str:
    """A database with one job on the queue."""
    with open_connection(queues) as connection:
        jobs.configure_task("do", allow_unknown=True, queue=QUEUE, connection=connection).defer()
    return queues


def state(url: str) -> tuple[str, int]:
    with open_connection(url) as connection:
        row = connection.execute("SELECT status::text, attempts FROM procrastinate_jobs").fetchone()
    assert row is not None
    return row["status"], row["attempts"]


async def succeed(worker: AWorker, job: Job) -> None:
    await worker.manager.finish_job(job, Status.SUCCEEDED, False)


async def interrupt(worker: AWorker, job: Job) -> None:
    await worker.manager.retry_job(job)


def test_a_worker_that_keeps_its_job_reports_its_end(queued: str) -> None:
    async def work(app: procrastinate.App) -> int:
        worker = await AWorker.start(app)
        await succeed(worker, await worker.take())
        return len(worker.held)

    assert in_loop(queued, work) == 0
    assert state(queued) == ("succeeded", 1)


@pytest.mark.parametrize("report", [succeed, interrupt])
def test_the_end_of_a_job_that_went_back_to_its_queue_is_refused(queued: str, report: Any) -> None:
    async def come_back_late(app: procrastinate.App) -> None:
        late = await AWorker.start(app)
        job = await late.take()
        await late.lose(job)
        await report(late, job)
        assert len(late.held) == 0

    in_loop(queued, come_back_late)
    assert state(queued) == ("todo", 1)


@pytest.mark.parametrize("report", [succeed, interrupt])
def test_the_end_of_a_job_that_another_has_is_refused(queued: str, report: Any) -> None:
    async def come_back_late(app: procrastinate.App) -> None:
        late, other = await AWorker.start(app), await AWorker.start(app)
        job = await late.take()
        await late.lose(job)
        await other.take()
        await report(late, job)
        assert len(late.held) == 0
        assert len(other.held) == 1

    in_loop(queued, come_back_late)
    assert state(queued) == ("doing", 1)


def test_a_job_that_its_worker_lost_and_took_again_is_ended_by_the_second_taking_alone(queued: str) -> None:
    async def lose_and_take_again(app: procrastinate.App) -> tuple[bool, bool]:
        worker = await AWorker.start(app)
        first = await worker.take()
        await worker.lose(first)
        second = await worker.take()
        assert first.id is not None
        leases = [Lease(first.id, worker.worker_id, job.attempts) for job in (first, second)]
        before, now = [await asyncio.to_thread(is_valid, queued, lease) for lease in leases]
        await succeed(worker, second)
        return before, now

    assert in_loop(queued, lose_and_take_again) == (False, True)
    assert state(queued) == ("succeeded", 2)


def test_a_worker_learns_which_of_its_jobs_were_taken_away_and_learns_it_once(queued: str) -> None:
    async def look(app: procrastinate.App) -> list[list[int]]:
        worker = await AWorker.start(app)
        job = await worker.take()
        (holding,) = worker.held.jobs.values()
        holding.task = asyncio.current_task()
        looks = [await worker.held.reconcile(app, worker.worker_id)]
        await worker.lose(job)
        looks += [await worker.held.reconcile(app, worker.worker_id) for _ in range(2)]
        return [[taken.lease.job_id for taken in look] for look in looks]

    before, first, second = in_loop(queued, look)
    assert (before, len(first), second) == ([], 1, [])


def test_a_worker_that_may_take_nothing_takes_nothing_until_it_stops(queued: str) -> None:
    async def wait(app: procrastinate.App) -> Any:
        over = asyncio.Event()
        manager = LeasingJobManager(app, HeldJobs(), may_take=lambda: False, is_over=over.is_set)
        waiting = asyncio.create_task(manager.fetch_job([QUEUE], await app.job_manager.register_worker()))
        await asyncio.sleep(0)
        over.set()
        return await waiting

    assert in_loop(queued, wait) is None
    assert state(queued) == ("todo", 0)
