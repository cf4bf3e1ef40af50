"""The registry of workers: claim, update and free a slot, and report an executor's work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from psycopg.types.json import Jsonb

from transcription_dagster.errors import StackError
from transcription_dagster.pool.connection import PatientConnector
from transcription_dagster.pool.liveness import Heartbeat, Identity, LivenessMonitor
from transcription_dagster.pool.work_queue import WorkQueue, rescue_all

logger = logging.getLogger(__name__)

_OCCUPANT = "SELECT token, beats::text AS beat, host, place, pid FROM transcription_workers WHERE name = %(name)s"

#: Claim the slot if it is free or still held by the worker that was found dead. The statement can be repeated.
_CLAIM = """
INSERT INTO transcription_workers AS w (name, kind, host, pid, place, token, worker_id, state)
VALUES (%(name)s, %(kind)s, %(host)s, %(pid)s, %(place)s, %(token)s, %(worker_id)s, 'starting')
ON CONFLICT (name) DO UPDATE SET
   (kind, host, pid, place, token, worker_id, state, device, model, recording, progress, work, jobs, model_loads,
    last_error, beats, started_at, seen_at)
 = (excluded.kind, excluded.host, excluded.pid, excluded.place, excluded.token, excluded.worker_id, excluded.state,
    NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, 0, now(), now())
 WHERE w.token IS NOT DISTINCT FROM %(occupant)s OR w.token = excluded.token
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

#: Remove workers that died long ago.
_FORGET = "DELETE FROM transcription_workers WHERE seen_at < now() - interval '10 minutes'"


@dataclass(frozen=True, slots=True)
class RecordingProgress:
    """Progress of one recording."""

    recording: str
    #: Fraction done, 0 to 1.
    progress: float


@dataclass(frozen=True, slots=True)
class ExecutorWork:
    """An executor's recordings, and its rates over the last minute."""

    #: Number of windows that it can decode together, and the number in progress.
    slots: int
    slots_busy: int
    recordings: tuple[RecordingProgress, ...]
    windows_per_second: float
    audio_hours_per_hour: float
    #: Share of time in which the device is busy, 0 to 1.
    device_busy: float
    #: What the device waits for; None if it is busy.
    waits_for: str | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ExecutorWork:
        """Read what `as_json` returned."""
        recordings = tuple(RecordingProgress(**recording) for recording in content["recordings"])
        return cls(**{**content, "recordings": recordings})

    def rates(self) -> str:
        """Return the speed and the bottleneck as text."""
        rates = (
            f"{self.slots_busy} of {self.slots} slots, {self.windows_per_second:.2g} windows a second, "
            f"{self.audio_hours_per_hour:.1f} hours of audio an hour"
        )
        return f"{rates}; waits for {self.waits_for}" if self.waits_for else rates


@dataclass
class WorkerRecord:
    """A worker's row in `transcription_workers`, filled by the worker. Any thread may set a field."""

    name: str
    kind: Literal["gpu", "run"]
    device: str | None = None
    model: str | None = None
    state: Literal["starting", "idle", "busy", "draining", "unfit"] = "starting"
    #: The UUID of the recording, or the id of the run, that the worker is processing.
    recording: str | None = None
    #: Fraction of the recording done, 0 to 1.
    progress: float | None = None
    #: An executor's recordings and rates.
    work: ExecutorWork | None = None
    jobs: int = 0
    model_loads: int = 0
    last_error: str | None = None
    #: procrastinate's id of a run worker.
    worker_id: int | None = field(default=None, repr=False)
    identity: Identity = field(default_factory=Identity.of_this_process, repr=False)


async def claim_slot(
    connector: PatientConnector,
    record: WorkerRecord,
    queue: WorkQueue[Any],
    *,
    stale_seconds: float,
    beat_seconds: float,
) -> None:
    """Claim the slot `record.name` and return the work of its previous process to `queue`.

    A previous process that did not free the slot is observed until it sends a heartbeat or counts as dead. Raises
    `StackError` if it is alive.
    """
    monitor = LivenessMonitor(stale_seconds=stale_seconds, beat_seconds=beat_seconds)
    is_logged = False
    while (occupant := await _occupant(connector, record.name)) is not None:
        worker = occupant["token"] or ""
        dead = monitor.observe([Heartbeat(worker, occupant["beat"], occupant["place"], occupant["pid"])])
        if monitor.is_beating(worker):
            raise StackError(
                f"worker {record.name} is already running as process {occupant['pid']} on {occupant['host']}; "
                "stop it first"
            )
        if dead:
            break
        if not is_logged:
            logger.info("checking whether the previous worker of slot %s is alive", record.name)
            is_logged = True
        await asyncio.sleep(beat_seconds / 4)
    if occupant is not None:
        # Comes before the claim, which overwrites the identity of the previous process.
        await rescue_all(queue, of=occupant["token"])
    claimed = await connector.execute_query_all_async(
        _CLAIM,
        name=record.name,
        kind=record.kind,
        worker_id=record.worker_id,
        occupant=occupant["token"] if occupant else None,
        **_identity_columns(record.identity),
    )
    if not claimed:
        raise StackError(f"another process has just claimed worker {record.name}; every worker needs its own slot")
    await connector.execute_query_async(_FORGET)


async def free_slot(connector: PatientConnector, record: WorkerRecord) -> None:
    """Free the slot, unless another worker has claimed it."""
    await connector.execute_query_async(_LEAVE, name=record.name, token=record.identity.token)


async def publish_record(connector: PatientConnector, record: WorkerRecord) -> bool:
    """Write the worker's row, which counts as a heartbeat; return False if another worker has claimed the slot."""
    values = {field.name: getattr(record, field.name) for field in fields(record) if field.name != "identity"}
    values["work"] = None if record.work is None else Jsonb(record.work.as_json())
    rows = await connector.execute_query_all_async(_PUBLISH, **_identity_columns(record.identity), **values)
    return bool(rows)


async def _occupant(connector: PatientConnector, name: str) -> dict[str, Any] | None:
    rows = await connector.execute_query_all_async(_OCCUPANT, name=name)
    return rows[0] if rows else None


def _identity_columns(identity: Identity) -> dict[str, object]:
    return {"host": identity.host, "pid": identity.pid, "place": identity.place, "token": identity.token}
