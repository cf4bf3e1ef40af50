"""Who is alive in the pool and what waits there, read by the coordinator, the launcher and `status`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg.rows import DictRow

from transcription_dagster.pool.liveness import Heartbeat, LivenessMonitor
from transcription_dagster.pool.names import run_job_key
from transcription_dagster.pool.queue import database_errors, open_connection

#: `silent`: the database has not heard the worker lately, and the reader has not looked for long enough to call it
#: `dead`. `unfit`: it lives and cannot work, for the reason that its last error gives.
WorkerState = Literal["starting", "idle", "busy", "draining", "unfit", "silent", "dead"]

_WORKERS = """
SELECT *, extract(epoch FROM now() - seen_at)::float8 AS silence FROM transcription_workers ORDER BY kind, name
"""

_QUEUES = """
SELECT queue_name, count(*) AS waiting FROM procrastinate_jobs WHERE status = 'todo' GROUP BY queue_name
"""

_RUN_JOB = """
SELECT j.id, j.status::text AS status, j.worker_id, w.name AS worker, w.place, w.pid,
       coalesce(w.beats::text, p.last_heartbeat::text) AS beat
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
    #: The boot and pid namespace that `pid` belongs to.
    place: str | None = None

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
    #: What is seen of the worker that has it; None while no worker has it.
    sign: Heartbeat | None


class PoolReader:
    """Reads the pool again and again, and so learns who is dead."""

    def __init__(self, *, stale_seconds: float, beat_seconds: float) -> None:
        """See `LivenessMonitor`; to be asked at least every `beat_seconds` for dead workers to be known as such."""
        self._stale_seconds = stale_seconds
        self._beat_seconds = beat_seconds
        self._liveness = LivenessMonitor(stale_seconds=stale_seconds, beat_seconds=beat_seconds)

    def read(self, url: str) -> PoolStatus:
        """Read the pool's state. Raises `DatabaseUnavailable`."""
        with database_errors(), open_connection(url) as connection:
            return self.poll(connection)

    def poll(self, connection: psycopg.Connection[DictRow]) -> PoolStatus:
        """Read the pool's state over an open connection."""
        rows = connection.execute(_WORKERS).fetchall()
        dead = self._liveness.observe(
            Heartbeat(_identity(row), str(row["beats"]), row["place"], row["pid"]) for row in rows
        )
        workers = tuple(_worker(row, self._state(row, dead)) for row in rows)
        queues = {row["queue_name"]: row["waiting"] for row in connection.execute(_QUEUES)}
        return PoolStatus(workers, queues)

    def settle(self, url: str) -> PoolStatus:
        """Read the pool's state until it is known of every worker whether it lives: for `stale_seconds`, or a little
        more, if one is silent. One whose process exists may stay `silent`. Raises `DatabaseUnavailable`.
        """
        deadline = time.monotonic() + 2 * self._stale_seconds
        with database_errors(), open_connection(url) as connection:
            while True:
                pool = self.poll(connection)
                if time.monotonic() > deadline or all(worker.state != "silent" for worker in pool.workers):
                    return pool
                time.sleep(self._beat_seconds / 4)

    def _state(self, row: DictRow, dead: set[str]) -> WorkerState:
        if _identity(row) in dead:
            return "dead"
        # What the database's clock says counts only until the reader has heard the worker itself: clocks are set.
        if abs(row["silence"]) > self._stale_seconds and not self._liveness.is_beating(_identity(row)):
            return "silent"
        return row["state"]


def read_pool(url: str, *, stale_seconds: float) -> PoolStatus:
    """Read the pool's state in one look, which knows of nobody that he is dead. Raises `DatabaseUnavailable`."""
    return PoolReader(stale_seconds=stale_seconds, beat_seconds=stale_seconds).read(url)


def find_run_job(connection: psycopg.Connection[DictRow], run_id: str) -> RunJob | None:
    """The newest job that was queued for a Dagster run."""
    row = connection.execute(_RUN_JOB, (run_job_key(run_id),)).fetchone()
    if row is None:
        return None
    sign = None
    if row["status"] == "doing":
        # A worker that was struck off the list leaves nothing but its job to be known by.
        worker = str(row["worker_id"] or f"of job {row['id']}")
        sign = Heartbeat(worker, row["beat"], row["place"], row["pid"])
    return RunJob(row["id"], row["status"], row["worker"], sign)


def _identity(row: DictRow) -> str:
    return row["token"] or row["name"]


def _worker(row: DictRow, state: WorkerState) -> WorkerStatus:
    return WorkerStatus(
        name=row["name"],
        kind=row["kind"],
        host=row["host"],
        pid=row["pid"],
        device=row["device"],
        model=row["model"],
        state=state,
        recording=row["recording"],
        progress=row["progress"],
        jobs=row["jobs"],
        model_loads=row["model_loads"],
        last_error=row["last_error"],
        seconds_since_heartbeat=max(0.0, row["silence"]),
        place=row["place"],
    )
