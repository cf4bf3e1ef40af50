"""State of the pool: live workers and waiting work, for the coordinator, the launcher and `status`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg.rows import DictRow

from transcription_dagster.pool.connection import database_errors, open_connection
from transcription_dagster.pool.liveness import Heartbeat, LivenessMonitor
from transcription_dagster.pool.run_queue import run_job_key
from transcription_dagster.pool.worker_registry import ExecutorWork

#: `silent`: no recent heartbeat, but not observed for long enough to count as `dead`. `unfit`: alive, but unable to
#: work for the reason in its last error.
WorkerState = Literal["starting", "idle", "busy", "draining", "unfit", "silent", "dead"]

_WORKERS = """
SELECT *, extract(epoch FROM now() - seen_at)::float8 AS silence FROM transcription_workers ORDER BY kind, name
"""

_QUEUES = """
SELECT queue_name, count(*) AS waiting FROM procrastinate_jobs WHERE status = 'todo' GROUP BY queue_name
UNION ALL
SELECT queue, count(*) FROM inference_requests WHERE state = 'queued' GROUP BY queue
"""

_RUN_JOB = """
SELECT j.id, j.status::text AS status, j.worker_id, w.name AS worker, w.place, w.pid, w.beats::text AS beat
  FROM procrastinate_jobs j
  LEFT JOIN transcription_workers w ON w.worker_id = j.worker_id
 WHERE j.queueing_lock = %s
 ORDER BY j.id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker of the pool, as of its last heartbeat."""

    name: str
    kind: Literal["gpu", "run"]
    host: str
    pid: int
    device: str | None
    model: str | None
    state: WorkerState
    #: The UUID of the recording, or the id of the run, that it is processing.
    recording: str | None
    #: Fraction of the recording done, 0 to 1.
    progress: float | None
    jobs: int
    model_loads: int
    last_error: str | None
    seconds_since_heartbeat: float
    #: The kernel boot and pid namespace in which `pid` is valid.
    place: str | None = None
    #: An executor's recordings and rates.
    work: ExecutorWork | None = None

    @property
    def takes_work(self) -> bool:
        """Return True if the worker can take new work."""
        return self.state in ("idle", "busy")


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """All workers, and the number of waiting runs and requests by queue."""

    workers: tuple[WorkerStatus, ...]
    queues: dict[str, int]

    def alive(self, kind: Literal["gpu", "run"]) -> tuple[WorkerStatus, ...]:
        """Return the workers of a kind that can take work."""
        return tuple(worker for worker in self.workers if worker.kind == kind and worker.takes_work)


@dataclass(frozen=True, slots=True)
class RunJob:
    """The queue's record of a Dagster run."""

    id: int
    #: procrastinate's status: todo, doing, succeeded, failed, cancelled, aborted.
    status: str
    worker: str | None
    #: The heartbeat of the worker that holds the job; None if no worker holds it.
    heartbeat: Heartbeat | None


class PoolReader:
    """Reads the pool repeatedly, which is how dead workers are detected."""

    def __init__(self, *, stale_seconds: float, beat_seconds: float) -> None:
        """Read at least every `beat_seconds` to detect dead workers; see `LivenessMonitor`."""
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
        """Read the pool's state until every silent worker is known to be alive or dead.

        This takes a little more than `stale_seconds`. A worker whose process exists may stay `silent`. Raises
        `DatabaseUnavailable`.
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
        # Clocks may be changed: the database's clock only counts until a heartbeat was observed.
        if abs(row["silence"]) > self._stale_seconds and not self._liveness.is_beating(_identity(row)):
            return "silent"
        return row["state"]


def read_pool(url: str, *, stale_seconds: float) -> PoolStatus:
    """Read the pool's state once, which cannot tell dead workers from silent ones. Raises `DatabaseUnavailable`."""
    return PoolReader(stale_seconds=stale_seconds, beat_seconds=stale_seconds).read(url)


def find_run_job(connection: psycopg.Connection[DictRow], run_id: str) -> RunJob | None:
    """Return the newest job of a Dagster run."""
    row = connection.execute(_RUN_JOB, (run_job_key(run_id),)).fetchone()
    if row is None:
        return None
    heartbeat = None
    if row["status"] == "doing":
        # If a worker was removed from the list, only its job identifies it.
        worker = str(row["worker_id"] or f"of job {row['id']}")
        heartbeat = Heartbeat(worker, row["beat"], row["place"], row["pid"])
    return RunJob(row["id"], row["status"], row["worker"], heartbeat)


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
        work=None if row["work"] is None else ExecutorWork.from_json(row["work"]),
    )
