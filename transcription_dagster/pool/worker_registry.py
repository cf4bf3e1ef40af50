"""The registry of workers: claim a slot, keep it, and requeue the jobs of dead workers."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import procrastinate
from procrastinate.exceptions import UniqueViolation
from psycopg.types.json import Jsonb

from transcription_dagster.errors import StackError
from transcription_dagster.pool.executor_work import ExecutorWork
from transcription_dagster.pool.liveness import Heartbeat, Identity, LivenessMonitor

logger = logging.getLogger(__name__)

_OCCUPANT = "SELECT token, beats::text AS beat, host, place, pid FROM transcription_workers WHERE name = %(name)s"

#: Claim the slot if it is free, or still held by the worker that was found dead.
_CLAIM = """
INSERT INTO transcription_workers AS w (name, kind, host, pid, place, token, state)
VALUES (%(name)s, %(kind)s, %(host)s, %(pid)s, %(place)s, %(token)s, 'starting')
ON CONFLICT (name) DO UPDATE SET
   (kind, host, pid, place, token, state, worker_id, device, model, recording, progress, work, jobs, model_loads,
    last_error, beats, started_at, seen_at)
 = (excluded.kind, excluded.host, excluded.pid, excluded.place, excluded.token, excluded.state, NULL, NULL, NULL, NULL,
    NULL, NULL, 0, 0, NULL, 0, now(), now())
 WHERE w.token IS NOT DISTINCT FROM %(occupant)s
RETURNING token
"""

#: No row: another worker holds the slot.
_PUBLISH = """
INSERT INTO transcription_workers AS w
       (name, kind, host, pid, place, token, worker_id, device, model, state, recording, progress, work, jobs,
        model_loads, last_error, beats)
VALUES (%(name)s, %(kind)s, %(host)s, %(pid)s, %(place)s, %(token)s, %(worker_id)s, %(device)s, %(model)s, %(state)s,
        %(recording)s, %(progress)s, %(work)s, %(jobs)s, %(model_loads)s, %(last_error)s, 1)
ON CONFLICT (name) DO UPDATE SET
   (worker_id, device, model, state, recording, progress, work, jobs, model_loads, last_error, beats, seen_at)
 = (excluded.worker_id, excluded.device, excluded.model, excluded.state, excluded.recording, excluded.progress,
    excluded.work, excluded.jobs, excluded.model_loads, excluded.last_error, w.beats + 1, now())
 WHERE w.token = excluded.token
RETURNING beats
"""

_LEAVE = "DELETE FROM transcription_workers WHERE name = %(name)s AND token = %(token)s"

_LEFT_BEHIND = """
SELECT j.id, j.worker_id, j.attempts FROM procrastinate_jobs j JOIN transcription_workers w ON w.worker_id = j.worker_id
 WHERE w.name = %(name)s AND j.status = 'doing'
"""

#: A worker without a record yet is known by procrastinate's own heartbeat.
_TAKEN_BY_OTHERS = """
SELECT j.id, j.worker_id, j.attempts, w.place, w.pid, coalesce(w.beats::text, p.last_heartbeat::text) AS beat
  FROM procrastinate_jobs j
  LEFT JOIN procrastinate_workers p ON p.id = j.worker_id
  LEFT JOIN transcription_workers w ON w.worker_id = j.worker_id
 WHERE j.status = 'doing' AND j.worker_id IS DISTINCT FROM %(own)s
"""

#: Requeue a job unless it ended, moved to another worker, or its worker beat again. Without a date: after a clock was
#: set back, the job would wait for it.
_GIVE_BACK = """
WITH orphan AS MATERIALIZED (
   SELECT j.id FROM procrastinate_jobs j
     LEFT JOIN procrastinate_workers p ON p.id = j.worker_id
     LEFT JOIN transcription_workers w ON w.worker_id = j.worker_id
    WHERE j.id = %(id)s AND j.status = 'doing' AND j.attempts = %(attempts)s
      AND j.worker_id IS NOT DISTINCT FROM %(worker_id)s
      AND (%(beat)s::text IS NULL OR coalesce(w.beats::text, p.last_heartbeat::text) IS NOT DISTINCT FROM %(beat)s)
      FOR UPDATE OF j)
SELECT id, procrastinate_retry_job_v2(id, NULL, NULL, NULL, NULL) FROM orphan
"""

#: Hide workers that died long ago.
_FORGET = "DELETE FROM transcription_workers WHERE seen_at < now() - interval '10 minutes'"


@dataclass
class WorkerRecord:
    """A worker's row in `transcription_workers`, as it describes itself. Any thread may set a field."""

    name: str
    kind: Literal["gpu", "run"]
    device: str | None = None
    model: str | None = None
    state: Literal["starting", "idle", "busy", "draining", "unfit"] = "starting"
    #: The recording's UUID or the run's id that the worker is processing.
    recording: str | None = None
    #: Fraction of the recording that is done, 0 to 1.
    progress: float | None = None
    #: What an executor does.
    work: ExecutorWork | None = None
    jobs: int = 0
    model_loads: int = 0
    last_error: str | None = None
    #: procrastinate's id of the worker, once it fetches jobs.
    worker_id: int | None = field(default=None, repr=False)
    identity: Identity = field(default_factory=Identity.of_this_process, repr=False)


async def take(app: procrastinate.App, state: WorkerRecord, *, stale_seconds: float, beat_seconds: float) -> None:
    """Claim the slot `state.name` and requeue the jobs of its previous worker.

    A previous worker that did not leave is observed until it beats or counts as dead. Raises `StackError` if it lives.
    """
    monitor = LivenessMonitor(stale_seconds=stale_seconds, beat_seconds=beat_seconds)
    watched = False
    while (occupant := await _occupant(app, state.name)) is not None:
        worker = occupant["token"] or ""
        dead = monitor.observe([Heartbeat(worker, occupant["beat"], occupant["place"], occupant["pid"])])
        if monitor.is_beating(worker):
            raise StackError(
                f"worker {state.name} runs already, as process {occupant['pid']} on {occupant['host']}; stop it first"
            )
        if dead:
            break
        if not watched:
            logger.info("watching whether the last worker of the slot %s is alive", state.name)
            watched = True
        await asyncio.sleep(beat_seconds / 4)
    # Before the claim, which overwrites the id of the previous worker.
    await release_jobs(app, state.name)
    claimed = await app.connector.execute_query_all_async(
        _CLAIM,
        name=state.name,
        kind=state.kind,
        occupant=occupant["token"] if occupant else None,
        **_who(state.identity),
    )
    if not claimed:
        raise StackError(f"another process has just become worker {state.name}; every worker needs a slot of its own")
    await app.connector.execute_query_async(_FORGET)


async def leave(app: procrastinate.App, state: WorkerRecord) -> None:
    """Free the slot, unless another worker has claimed it."""
    await app.connector.execute_query_async(_LEAVE, name=state.name, token=state.identity.token)


async def publish_record(app: procrastinate.App, state: WorkerRecord) -> bool:
    """Write the worker's row, which counts as a beat; return False if another worker has claimed the slot."""
    described = {one.name: getattr(state, one.name) for one in fields(state) if one.name != "identity"}
    described["work"] = None if state.work is None else Jsonb(state.work.as_json())
    rows = await app.connector.execute_query_all_async(_PUBLISH, **_who(state.identity), **described)
    return bool(rows)


async def release_jobs(app: procrastinate.App, name: str) -> None:
    """Requeue the jobs of the slot's previous process."""
    for row in await app.connector.execute_query_all_async(_LEFT_BEHIND, name=name):
        await requeue_job(app, row["id"], row["worker_id"], row["attempts"])


async def requeue_job(
    app: procrastinate.App, job_id: int, worker_id: int | None, attempts: int, *, beat: str | None = None
) -> None:
    """Requeue a lost worker's job.

    Does nothing if that worker no longer holds the job, or if it beat since `beat` was observed.
    """
    try:
        rows = await app.connector.execute_query_all_async(
            _GIVE_BACK, id=job_id, worker_id=worker_id, attempts=attempts, beat=beat
        )
    except UniqueViolation:
        logger.info("job %d needs no rescue: the same work waits on its queue", job_id)
        return
    if rows:
        logger.warning("gave job %d of a lost worker back to its queue", job_id, extra={"action": "rescue"})


class OrphanReaper:
    """Requeues the jobs of other workers that died."""

    def __init__(self, app: procrastinate.App, *, stale_seconds: float, beat_seconds: float) -> None:
        """Call `reap` every `beat_seconds`; see `LivenessMonitor` for when a worker counts as dead."""
        self._app = app
        self._liveness = LivenessMonitor(stale_seconds=stale_seconds, beat_seconds=beat_seconds)

    async def reap(self, own: int | None) -> None:
        """Requeue orphaned jobs; `own` is the id of the calling worker."""
        rows = await self._app.connector.execute_query_all_async(_TAKEN_BY_OTHERS, own=own)
        # A worker that was removed from the list is known by its job only.
        workers = {row["id"]: str(row["worker_id"] or f"of job {row['id']}") for row in rows}
        signs = {
            workers[row["id"]]: Heartbeat(workers[row["id"]], row["beat"], row["place"], row["pid"]) for row in rows
        }
        dead = self._liveness.observe(signs.values())
        for row in rows:
            if workers[row["id"]] in dead:
                await requeue_job(self._app, row["id"], row["worker_id"], row["attempts"], beat=row["beat"])


async def _occupant(app: procrastinate.App, name: str) -> dict[str, Any] | None:
    rows = await app.connector.execute_query_all_async(_OCCUPANT, name=name)
    return rows[0] if rows else None


def _who(identity: Identity) -> dict[str, object]:
    return {"host": identity.host, "pid": identity.pid, "place": identity.place, "token": identity.token}
