"""A worker's slot in the pool: its row, the jobs it left behind, and the jobs of workers that died."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Any, Protocol

import procrastinate
from procrastinate.exceptions import ConnectorException
from procrastinate.utils import utcnow

from transcription_dagster.errors import StackError
from transcription_dagster.queueing.liveness import is_lost, process_exists

logger = logging.getLogger(__name__)

_PUBLISH = """
INSERT INTO transcription_workers AS w
       (name, kind, host, pid, worker_id, device, model, state, recording, progress, jobs, model_loads, last_error)
VALUES (%(name)s, %(kind)s, %(host)s, %(pid)s, %(worker_id)s, %(device)s, %(model)s, %(state)s, %(recording)s,
        %(progress)s, %(jobs)s, %(model_loads)s, %(last_error)s)
ON CONFLICT (name) DO UPDATE SET (kind, host, pid, worker_id, device, model, state, recording, progress, jobs,
                                  model_loads, last_error, started_at, seen_at)
  = (excluded.kind, excluded.host, excluded.pid, excluded.worker_id, excluded.device, excluded.model, excluded.state,
     excluded.recording, excluded.progress, excluded.jobs, excluded.model_loads, excluded.last_error,
     CASE WHEN w.pid = excluded.pid THEN w.started_at ELSE now() END, now())
"""

_ALIVE = """
SELECT host, pid FROM transcription_workers
 WHERE name = %(name)s AND seen_at > now() - make_interval(secs => %(stale)s)
"""

_LEFT_BEHIND = """
SELECT j.id FROM procrastinate_jobs j JOIN transcription_workers w ON w.worker_id = j.worker_id
 WHERE w.name = %(name)s AND j.status = 'doing'
"""

_TAKEN_BY_OTHERS = """
SELECT j.id, w.host, w.pid, extract(epoch FROM now() - p.last_heartbeat)::float8 AS silence
  FROM procrastinate_jobs j
  LEFT JOIN procrastinate_workers p ON p.id = j.worker_id
  LEFT JOIN transcription_workers w ON w.worker_id = j.worker_id
 WHERE j.status = 'doing'
"""

#: Workers that died long ago are not shown any more.
_FORGET = """
DELETE FROM transcription_workers WHERE seen_at < now() - interval '10 minutes'
"""


class Describes(Protocol):
    """What `publish` reads off a worker."""

    name: str
    kind: Any
    device: str | None
    model: str | None
    state: Any
    recording: str | None
    progress: float | None
    jobs: int
    model_loads: int
    last_error: str | None
    worker_id: int | None


async def take(app: procrastinate.App, name: str, *, stale_seconds: float) -> None:
    """Take the slot `name`. Raises `StackError` when a worker that is alive has it."""
    rows = await app.connector.execute_query_all_async(_ALIVE, name=name, stale=stale_seconds)
    for row in rows:
        if row["host"] != socket.gethostname() or process_exists(row["pid"]):
            raise StackError(f"worker {name} runs already, as process {row['pid']} on {row['host']}; stop it first")
    await release_jobs(app, name)
    await app.connector.execute_query_async(_FORGET)


async def leave(app: procrastinate.App, name: str) -> None:
    """Give the slot up."""
    await app.connector.execute_query_async("DELETE FROM transcription_workers WHERE name = %(name)s", name=name)


async def publish(app: procrastinate.App, state: Describes) -> None:
    """Write the worker's row."""
    await app.connector.execute_query_async(
        _PUBLISH,
        host=socket.gethostname(),
        pid=os.getpid(),
        **{field: getattr(state, field) for field in Describes.__annotations__},
    )


async def release_jobs(app: procrastinate.App, name: str) -> None:
    """Give back at once what the slot's last process had taken: there is no need to wait for its heartbeat to age."""
    rows = await app.connector.execute_query_all_async(_LEFT_BEHIND, name=name)
    await _give_back(app, [row["id"] for row in rows])


_TAKEN = "SELECT id FROM procrastinate_jobs WHERE worker_id = %(worker_id)s AND status = 'doing'"


async def release_unknown(app: procrastinate.App, worker_id: int, known: set[int], suspected: set[int]) -> set[int]:
    """Give back jobs that are marked as this worker's and that it knows nothing of.

    An answer that was lost with a connection leaves such a job. Only what was `suspected` at the last look too is given
    back, for a job may just have been taken; returns what to suspect at the next.
    """
    rows = await app.connector.execute_query_all_async(_TAKEN, worker_id=worker_id)
    unknown = {row["id"] for row in rows} - known
    await _give_back(app, sorted(unknown & suspected))
    return unknown - suspected


class DeathWatch:
    """Gives back the jobs of workers that fell silent.

    After a time without the database everybody has been silent, the living too; so a watcher judges others only
    once it has itself been heard without a break for a while.
    """

    def __init__(self, app: procrastinate.App, *, stale_seconds: float, watch_seconds: float) -> None:
        """A worker silent for `stale_seconds` is dead; nobody is judged in the first `watch_seconds` of sight.

        `watch_seconds` is longer than a living worker takes to be heard again once the database is back.
        """
        self._app = app
        self._stale_seconds = stale_seconds
        self._watch_seconds = watch_seconds
        self._in_sight_since = time.monotonic()

    def lost_sight(self) -> None:
        """The database did not answer."""
        self._in_sight_since = time.monotonic()

    async def look(self) -> None:
        """Give orphaned jobs back to their queues."""
        if time.monotonic() - self._in_sight_since < self._watch_seconds:
            return
        rows = await self._app.connector.execute_query_all_async(_TAKEN_BY_OTHERS)
        orphans = [row["id"] for row in rows if self._is_orphan(row)]
        await _give_back(self._app, orphans)

    def _is_orphan(self, row: dict[str, Any]) -> bool:
        return is_lost(row["host"], row["pid"], row["silence"], stale_seconds=self._stale_seconds)


async def _give_back(app: procrastinate.App, job_ids: list[int]) -> None:
    for job_id in job_ids:
        try:
            await app.job_manager.retry_job_by_id_async(job_id, retry_at=utcnow())
            logger.warning("gave job %d of a lost worker back to its queue", job_id, extra={"action": "rescue"})
        except ConnectorException as error:
            # Somebody else was quicker, or the job ended meanwhile.
            logger.info("job %d needed no rescue: %s", job_id, error.__cause__)
