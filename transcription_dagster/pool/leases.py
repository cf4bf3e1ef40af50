"""Leases: the jobs that a worker has fetched from the queue, and whether they are still its own.

A worker that was silent for long may have lost its jobs to others. A lease identifies one fetch of a job and expires
when the job returns to its queue. The SQL itself refuses the end of a job reported under an expired lease.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, LiteralString

import procrastinate
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager

from transcription_dagster.pool.patience import patiently
from transcription_dagster.pool.queue import database_errors, open_connection
from transcription_dagster.pool.worker_registry import requeue_job

logger = logging.getLogger(__name__)

_GATE_POLL_SECONDS = 0.05

#: The job, if this lease is valid; locked, so that it stays valid until the statement ends.
MINE: Final = """
WITH mine AS MATERIALIZED (
   SELECT id FROM procrastinate_jobs
    WHERE id = %(job_id)s AND status = 'doing' AND worker_id = %(worker_id)s AND attempts = %(attempts)s
      FOR UPDATE)
"""

_FINISH: Final = MINE + "SELECT id, procrastinate_finish_job_v1(id, %(status)s, %(delete_job)s) FROM mine"  # noqa: S608  constants
#: Without a date, which would be compared with another machine's clock.
_RETRY: Final = MINE + "SELECT id, procrastinate_retry_job_v2(id, NULL, NULL, NULL, NULL) FROM mine"  # noqa: S608  constants
_HELD: Final = MINE + "SELECT id FROM mine"  # noqa: S608  constants

_ALL_HELD: Final = "SELECT id, attempts FROM procrastinate_jobs WHERE worker_id = %(worker_id)s AND status = 'doing'"


@dataclass(frozen=True, slots=True)
class Lease:
    """One fetch of one job by one worker."""

    job_id: int
    worker_id: int
    #: How often the job was fetched before.
    attempts: int

    def parameters(self) -> dict[str, int]:
        """Return the parameters of `MINE`."""
        return {"job_id": self.job_id, "worker_id": self.worker_id, "attempts": self.attempts}

    def __str__(self) -> str:
        return f"{self.job_id}.{self.attempts}.{self.worker_id}"


@patiently
def is_valid(url: str, lease: Lease) -> bool:
    """Return True if the worker still holds the job. Waits through outages of the database."""
    with database_errors(), open_connection(url) as connection:
        return connection.execute(_HELD, lease.parameters()).fetchone() is not None


@dataclass(slots=True)
class HeldJob:
    """A job that a worker holds."""

    lease: Lease
    #: When the lease was last confirmed, by `awake_clock`.
    confirmed_at: float
    #: The asyncio task that does the work, once it has started.
    task: asyncio.Task[object] | None = None
    #: True while the job's end is being stored.
    ending: bool = False
    #: True once another worker has the job.
    lost: bool = False


def awake_clock() -> float:
    """Return seconds from a clock that keeps running while the machine is suspended, if the system has one."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


@dataclass(eq=False)
class HeldJobs:
    """The jobs that this process has fetched and not ended."""

    jobs: dict[int, HeldJob] = field(default_factory=dict)
    #: Jobs of ours without a task working on them, as of the last call of `reconcile`.
    _suspected: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.jobs)

    async def reconcile(self, app: procrastinate.App, worker_id: int) -> list[HeldJob]:
        """Compare the held jobs with the queue's record of them; returns the jobs that other workers have now.

        A lost answer leaves a job that is ours without our knowledge; a task canceled before its first step leaves a
        job without work. Such a job is requeued when a second call finds it again.
        """
        before, asked_at = dict(self.jobs), awake_clock()
        rows = await app.connector.execute_query_all_async(_ALL_HELD, worker_id=worker_id)
        ours = {row["id"]: row["attempts"] for row in rows}
        taken = [holding for job_id, holding in before.items() if self._was_taken(job_id, holding, ours)]
        for job_id, holding in before.items():
            if ours.get(job_id) == holding.lease.attempts:
                holding.confirmed_at = asked_at
        idle = {
            job_id
            for job_id in ours
            if (holding := self.jobs.get(job_id)) is None or (holding.task is None and not holding.ending)
        }
        for job_id in sorted(idle & self._suspected):
            await requeue_job(app, job_id, worker_id, ours[job_id])
            self.jobs.pop(job_id, None)
        self._suspected = idle - self._suspected
        return taken

    def _was_taken(self, job_id: int, holding: HeldJob, ours: dict[int, int]) -> bool:
        gone = ours.get(job_id) != holding.lease.attempts
        if not gone or holding.ending or holding.lost or self.jobs.get(job_id) is not holding:
            return False
        holding.lost = True
        return True


class LeasingJobManager(JobManager):
    """Fetches a job only when allowed, keeps its lease, and reports its end under that lease."""

    def __init__(
        self,
        app: procrastinate.App,
        held: HeldJobs,
        *,
        may_take: Callable[[], bool],
        is_over: Callable[[], bool],
        pause: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`may_take` tells whether another job may be fetched now, `is_over` whether fetching has ended for good.

        `pause` is for how many seconds to leave a job to other workers first.
        """
        super().__init__(app.connector)
        self._held = held
        self._may_take = may_take
        self._pause = pause
        self._is_over = is_over

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        while not self._may_take():
            if self._is_over():
                return None
            await asyncio.sleep(_GATE_POLL_SECONDS)
        await asyncio.sleep(self._pause())
        if self._is_over():
            return None
        asked_at = awake_clock()
        job = await super().fetch_job(queues, worker_id)
        if job is not None and job.id is not None:
            self._held.jobs[job.id] = HeldJob(Lease(job.id, worker_id, job.attempts), asked_at)
        return job

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        await self._end(job, _FINISH, status=status.value, delete_job=delete_job)

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        await self._end(job, _RETRY)

    async def _end(self, job: Job, statement: LiteralString, **arguments: object) -> None:
        assert job.id is not None  # noqa: S101  it came from the queue
        holding = self._held.jobs.get(job.id)
        if holding is None:
            logger.warning("job %d is not this worker's any more: its end is not reported", job.id)
            return
        holding.ending = True
        try:
            rows = await self.connector.execute_query_all_async(statement, **holding.lease.parameters(), **arguments)
        finally:
            self._held.jobs.pop(job.id, None)
        if not rows:
            logger.warning(
                "job %d was taken from this worker: its end is not reported", job.id, extra={"action": "fenced"}
            )
