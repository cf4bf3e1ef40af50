"""Who is alive in the pool and what waits there, read by the coordinator, the launcher and `status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg.rows import DictRow

from transcription_dagster.queueing.app import connect, database_errors
from transcription_dagster.queueing.liveness import is_lost
from transcription_dagster.queueing.names import run_key

WorkerState = Literal["starting", "idle", "busy", "draining", "dead"]

_WORKERS = """
SELECT *, extract(epoch FROM now() - seen_at)::float8 AS silence FROM transcription_workers ORDER BY kind, name
"""

_QUEUES = """
SELECT queue_name, count(*) AS waiting FROM procrastinate_jobs WHERE status = 'todo' GROUP BY queue_name
"""

_RUN_JOB = """
SELECT j.id, j.status::text AS status, w.name AS worker, w.host, w.pid,
       extract(epoch FROM now() - p.last_heartbeat)::float8 AS silence
  FROM procrastinate_jobs j
  LEFT JOIN procrastinate_workers p ON p.id = j.worker_id
  LEFT JOIN transcription_workers w ON w.worker_id = j.worker_id
 WHERE j.queueing_lock = %s
 ORDER BY j.id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker of the pool as it last described itself."""

    name: str
    kind: Literal["gpu", "run"]
    host: str
    pid: int
    device: str | None
    model: str | None
    state: WorkerState
    #: What it is working on: a recording's UUID, or a run's id.
    recording: str | None
    #: Share of the recording that is done, 0 to 1.
    progress: float | None
    jobs: int
    model_loads: int
    last_error: str | None
    seconds_since_heartbeat: float

    @property
    def takes_work(self) -> bool:
        """Whether new work may be counted on it."""
        return self.state in ("idle", "busy")


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """All workers, and how many jobs wait on each queue."""

    workers: tuple[WorkerStatus, ...]
    queues: dict[str, int]

    def alive(self, kind: Literal["gpu", "run"]) -> tuple[WorkerStatus, ...]:
        """The workers of a kind that take work now."""
        return tuple(worker for worker in self.workers if worker.kind == kind and worker.takes_work)


@dataclass(frozen=True, slots=True)
class RunJob:
    """The queue's record of a Dagster run."""

    id: int
    #: procrastinate's status: todo, doing, succeeded, failed, cancelled, aborted.
    status: str
    worker: str | None
    #: Whether the worker that took it is dead.
    lost: bool


def read_pool(url: str, *, stale_seconds: float) -> PoolStatus:
    """Read the pool's state. Raises `DatabaseUnavailable`."""
    with database_errors(), connect(url) as connection:
        return pool_status(connection, stale_seconds=stale_seconds)


def pool_status(connection: psycopg.Connection[DictRow], *, stale_seconds: float) -> PoolStatus:
    """Read the pool's state over an open connection."""
    workers = tuple(_worker(row, stale_seconds) for row in connection.execute(_WORKERS))
    queues = {row["queue_name"]: row["waiting"] for row in connection.execute(_QUEUES)}
    return PoolStatus(workers, queues)


def find_run_job(connection: psycopg.Connection[DictRow], run_id: str, *, stale_seconds: float) -> RunJob | None:
    """The newest job that was queued for a Dagster run."""
    row = connection.execute(_RUN_JOB, (run_key(run_id),)).fetchone()
    if row is None:
        return None
    lost = row["status"] == "doing" and is_lost(row["host"], row["pid"], row["silence"], stale_seconds=stale_seconds)
    return RunJob(row["id"], row["status"], row["worker"], lost)


def _worker(row: DictRow, stale_seconds: float) -> WorkerStatus:
    return WorkerStatus(
        name=row["name"],
        kind=row["kind"],
        host=row["host"],
        pid=row["pid"],
        device=row["device"],
        model=row["model"],
        state="dead" if row["silence"] > stale_seconds else row["state"],
        recording=row["recording"],
        progress=row["progress"],
        jobs=row["jobs"],
        model_loads=row["model_loads"],
        last_error=row["last_error"],
        seconds_since_heartbeat=row["silence"],
    )
