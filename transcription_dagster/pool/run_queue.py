"""The run workers' queue: Dagster runs and housekeeping, as jobs of procrastinate."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import procrastinate
from procrastinate.exceptions import UniqueViolation
from procrastinate.jobs import Notification
from procrastinate.periodic import PeriodicDeferrer

from transcription_dagster.pool.connection import database_errors, open_connection, patiently, worker_connector
from transcription_dagster.pool.liveness import Heartbeat
from transcription_dagster.pool.work_queue import Claim, ForeignLease, Lease, WorkId
from transcription_dagster.pool.worker_registry import WorkerRecord

logger = logging.getLogger(__name__)

#: Dagster runs, claimed by run workers.
RUNS_QUEUE: Final = "runs"
#: Tasks that prune the queues and Dagster's history, claimed by run workers.
HOUSEKEEPING_QUEUE: Final = "housekeeping"
#: Execute one Dagster run: `run_id`.
EXECUTE_RUN_TASK: Final = "execute_run"

#: Seconds after which procrastinate forgets a worker without heartbeats, whose jobs were requeued long before. A live
#: worker that was disconnected from the database for a while must not lose its registration.
_FORGET_SECONDS: Final = 86_400.0

#: The job, if this lease is valid; locked, so that the lease stays valid until the statement ends.
_MINE: Final = """
WITH mine AS MATERIALIZED (
   SELECT id, abort_requested FROM procrastinate_jobs
    WHERE id = %(work)s AND status = 'doing' AND worker_id IS NOT DISTINCT FROM %(holder)s AND attempts = %(number)s
      FOR UPDATE)
"""

_HELD: Final = _MINE + "SELECT id FROM mine"  # noqa: S608  constants, here and below
_FINISH: Final = _MINE + "SELECT procrastinate_finish_job_v1(id, %(status)s, false) FROM mine"  # noqa: S608

_RETURN: Final = """
SELECT CASE WHEN abort_requested THEN procrastinate_finish_job_v1(id, 'aborted', false)::text
            ELSE procrastinate_retry_job_v2(id, NULL, NULL, NULL, NULL)::text END
  FROM mine
"""
#: End a canceled job, and requeue any other. Its date is cleared, because it would be compared with another clock.
_GIVE_BACK: Final = _MINE + _RETURN
#: The same, unless the worker sent a heartbeat in between.
_RESCUE: Final = f"""{_GIVE_BACK}
 WHERE %(beat)s::text IS NULL
    OR %(beat)s = (SELECT beats::text FROM transcription_workers WHERE worker_id = %(holder)s)
"""  # noqa: S608  constants

_LEASES: Final = """
SELECT id, attempts, abort_requested FROM procrastinate_jobs WHERE worker_id = %(holder)s AND status = 'doing'
"""

_FOREIGN_LEASES: Final = """
SELECT j.id, j.worker_id, j.attempts, w.token, w.place, w.pid, w.beats::text AS beat
  FROM procrastinate_jobs j LEFT JOIN transcription_workers w ON w.worker_id = j.worker_id
 WHERE j.status = 'doing' AND j.worker_id IS DISTINCT FROM %(holder)s
"""


def run_job_key(run_id: str) -> str:
    """Return the job's key for a Dagster run, so that a run is never queued twice."""
    return f"run:{run_id}"


@dataclass(slots=True)
class JobClaim(Claim):
    """A job that a run worker has claimed."""

    arguments: Mapping[str, Any]


class RunQueue:
    """Claims jobs for one run worker and reports their results; a `WorkQueue`."""

    def __init__(self, url: str, record: WorkerRecord, queues: Sequence[str]) -> None:
        self.connector = worker_connector(url)
        self._app = procrastinate.App(connector=self.connector)
        self._jobs = self._app.job_manager
        #: Queues periodic jobs when they are due.
        self.periodic = PeriodicDeferrer(self._app.periodic_registry)
        self._record = record
        self._queues = list(queues)

    async def open(self) -> None:
        """Open the connections and register the worker with procrastinate."""
        await self.connector.open_async()
        await self._jobs.prune_stalled_workers(_FORGET_SECONDS)
        self._record.worker_id = await self._jobs.register_worker()

    def every(self, cron: str, task: str, *, queue: str) -> None:
        """Queue a job of this task whenever it is due, once for all workers.

        At most one job of the task waits and one runs. Its only argument, `timestamp`, is the time at which it was due.
        """
        # procrastinate queues the job; the program's own workers claim and execute it.
        declared = self._app.task(name=task)(lambda timestamp: None)
        self._app.periodic(cron=cron, queue=queue, lock=task, queueing_lock=task)(declared)

    async def claim(self) -> JobClaim | None:
        """Claim the job with the highest priority, and among these the oldest."""
        job = await self._jobs.fetch_job(self._queues, self._holder)
        if job is None or job.id is None:
            return None
        return JobClaim(Lease(job.id, self._holder, job.attempts), job.task_name, job.task_kwargs)

    async def finish(self, claim: JobClaim, result: object) -> None:
        """Report success."""
        await self._end(claim.lease, _FINISH, status="succeeded")

    async def fail(self, claim: JobClaim, error: Exception) -> None:
        """Report the failure. The log has the reason: runs report their own errors to Dagster."""
        await self._end(claim.lease, _FINISH, status="failed")

    async def give_back(self, claim: JobClaim, reason: str) -> None:
        """Requeue the job, or end it if it was canceled."""
        await self._end(claim.lease, _GIVE_BACK)

    async def leases(self) -> Mapping[Lease, bool]:
        """Return the valid leases of this worker; the value says whether a user canceled the job."""
        await self._jobs.update_heartbeat(self._holder)
        return {
            Lease(row["id"], self._holder, row["attempts"]): row["abort_requested"]
            for row in await self._rows(_LEASES, holder=self._holder)
        }

    async def foreign_leases(self) -> list[ForeignLease]:
        """Return the valid leases of all other run workers."""
        return [
            ForeignLease(
                Lease(row["id"], row["worker_id"], row["attempts"]),
                row["token"],
                # If procrastinate has forgotten a worker, only its job identifies it.
                Heartbeat(str(row["worker_id"] or f"of job {row['id']}"), row["beat"], row["place"], row["pid"]),
            )
            for row in await self._rows(_FOREIGN_LEASES, holder=self._holder)
        ]

    async def rescue(self, lease: Lease, *, beat: str | None = None) -> None:
        """Requeue a lost worker's job; see `WorkQueue`."""
        try:
            rows = await self._rows(_RESCUE, beat=beat, **lease.parameters())
        except UniqueViolation:
            logger.info("job %s needs no rescue: the same work is already queued", lease.work)
            return
        if rows:
            logger.warning("requeued job %s of a lost worker", lease.work, extra={"action": "rescue"})

    async def watch(self, on_change: Callable[[WorkId], None]) -> None:
        """Call `on_change` with each job that is queued or canceled, and queue periodic jobs when they are due."""

        async def changed(*, channel: str, notification: Notification) -> None:
            on_change(notification["job_id"])

        await asyncio.gather(
            self._jobs.listen_for_jobs(on_notification=changed, queues=self._queues),
            self.periodic.worker(),
        )

    @property
    def _holder(self) -> int:
        assert self._record.worker_id is not None  # noqa: S101  `open` comes first
        return self._record.worker_id

    async def _end(self, lease: Lease, statement: LiteralString, **parameters: object) -> None:
        if not await self._rows(statement, **lease.parameters(), **parameters):
            logger.warning(
                "job %s was given to another worker: its end is not reported", lease.work, extra={"action": "fenced"}
            )

    async def _rows(self, statement: LiteralString, **parameters: Any) -> list[dict[str, Any]]:
        return await self.connector.execute_query_all_async(statement, **parameters)


@patiently
def is_valid(url: str, lease: Lease) -> bool:
    """Return True if the run worker still holds the job. Waits through outages of the database."""
    with database_errors(), open_connection(url) as connection:
        return connection.execute(_HELD, lease.parameters()).fetchone() is not None
