"""The executors' queue: inference requests in their table, claimed by executors, with the history of their attempts.

A request is `queued`, then `doing` while an executor holds it, then `done` or `failed`. Each claim is a lease: the
executor's token (`holder`) and a number that grows with every claim (`claims`). `attempts` lists {executor, started_at,
ended}; an attempt in progress has no `ended`. The statements' parameters are named. Times come from the database's
clock, so the machines' clocks need not agree. Every statement that changes a request's state notifies clients and
executors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, TypeAlias

from psycopg.types.json import Jsonb

from transcription_dagster.errors import ExecutorLost, TranscriptionError, WorkerUnfit
from transcription_dagster.pool.connection import worker_connector
from transcription_dagster.pool.liveness import Heartbeat
from transcription_dagster.pool.work_queue import Claim, ForeignLease, Lease, WorkId
from transcription_dagster.pool.worker_registry import WorkerRecord

logger = logging.getLogger(__name__)

#: Notification channel: the key of a request whenever its state changes.
INFERENCE_CHANNEL: Final = "inference_requests"

_NOTIFY = "pg_notify('inference_requests', key)"

#: The request, if this lease is valid.
_MINE = "key = %(work)s AND state = 'doing' AND holder = %(holder)s AND claims = %(number)s"

FIND: Final = """
SELECT state, attempts, result, error, error_class,
       extract(epoch FROM coalesce(started_at, now()) - created_at)::float8 AS waited_seconds,
       extract(epoch FROM finished_at - started_at)::float8 AS gpu_seconds
  FROM inference_requests WHERE key = %(key)s
"""

#: Insert a request. A failed request, or one whose answer was released, starts over; a queued, running or done one is
#: left unchanged.
ASK: Final = f"""
INSERT INTO inference_requests (key, task, recording, run_id, queue, request)
VALUES (%(key)s, %(task)s, %(recording)s, %(run_id)s, %(queue)s, %(request)s)
ON CONFLICT (key) DO UPDATE
   SET state = 'queued', attempts = '[]', progress = 0, error = NULL, error_class = NULL, queue = excluded.queue,
       request = excluded.request, created_at = now(), started_at = NULL, finished_at = NULL
 WHERE inference_requests.state = 'failed' OR (inference_requests.state = 'done'
                                                 AND inference_requests.result IS NULL)
RETURNING {_NOTIFY}
"""  # noqa: S608  constants, here and below

#: Claim the oldest request. Rows that other executors are claiming are skipped.
_CLAIM: Final = """
UPDATE inference_requests SET state = 'doing', holder = %(holder)s, claims = claims + 1
 WHERE key = (SELECT key FROM inference_requests WHERE state = 'queued' AND queue = ANY(%(queues)s)
               ORDER BY created_at, key LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING key, claims, task, recording, request, attempts
"""

#: Start an attempt. No row: the lease has expired. Repeating the statement changes nothing.
_BEGIN: Final = f"""
UPDATE inference_requests SET progress = 0, started_at = now(),
   attempts = CASE WHEN attempts @> '[{{"ended": null}}]' THEN attempts
                   ELSE attempts || jsonb_build_array(jsonb_build_object('executor', %(executor)s::text,
                                                                         'started_at', now(), 'ended', NULL)) END
 WHERE {_MINE}
RETURNING attempts, {_NOTIFY}
"""  # noqa: S608

#: End a claim and its attempt, if one was begun. No row: the lease has expired, or its worker sent a heartbeat after
#: `beat`.
_END: Final = f"""
UPDATE inference_requests SET
   attempts = %(attempts)s, state = %(state)s, result = %(result)s, error = %(error)s, error_class = %(error_class)s,
   progress = CASE WHEN %(state)s = 'done' THEN 1 ELSE progress END, holder = NULL,
   finished_at = CASE WHEN %(state)s IN ('done', 'failed') THEN now() END
 WHERE {_MINE}
   AND (%(beat)s::text IS NULL
        OR %(beat)s = (SELECT beats::text FROM transcription_workers WHERE token = %(holder)s))
RETURNING {_NOTIFY}
"""  # noqa: S608

_PROGRESS: Final = f"UPDATE inference_requests SET progress = %(progress)s WHERE {_MINE}"  # noqa: S608

_ATTEMPTS: Final = f"SELECT attempts FROM inference_requests WHERE {_MINE}"  # noqa: S608

_LEASES: Final = "SELECT key, claims FROM inference_requests WHERE state = 'doing' AND holder = %(holder)s"

_FOREIGN_LEASES: Final = """
SELECT r.key, r.holder, r.claims, w.token, w.place, w.pid, w.beats::text AS beat
  FROM inference_requests r LEFT JOIN transcription_workers w ON w.token = r.holder
 WHERE r.state = 'doing' AND r.holder <> %(holder)s
"""

#: Cancel all requests of a run and its retries. An executor that works on one notices that its lease has expired.
CANCEL: Final = f"""
UPDATE inference_requests
   SET state = 'failed', error = 'withdrawn', error_class = 'TranscriptionAborted', finished_at = now(), holder = NULL,
       attempts = CASE WHEN attempts @> '[{{"ended": null}}]'
                       THEN jsonb_set(attempts, '{{-1,ended}}', '"withdrawn"') ELSE attempts END
 WHERE run_id = %(run_id)s AND state IN ('queued', 'doing')
RETURNING {_NOTIFY}
"""  # noqa: S608

#: Answers, by far the largest values, are not needed after a successful run. The history of attempts is kept.
RELEASE: Final = """
UPDATE inference_requests SET result = NULL, request = '{}'
 WHERE run_id = %(run_id)s AND state = 'done' AND result IS NOT NULL
"""

#: Days for which a failed run can be retried without repeating its inference.
ANSWER_DAYS: Final = 7

PRUNE: Final = "DELETE FROM inference_requests WHERE finished_at < now() - make_interval(days => %(days)s)"

Attempts: TypeAlias = list[dict[str, Any]]

#: Number of attempts that fail for reasons other than the recording, after which a request fails.
MAX_ATTEMPTS = 3

#: Outcome of an attempt whose executor died.
LOST = "the executor was lost"
#: Prefix of the outcome of an attempt that left the device unusable.
BROKE = "the device broke"
#: Prefix of the outcome of an attempt whose executor cannot work on its machine.
UNFIT = "the executor cannot work"

#: Outcomes of attempts that lost their executor, and of all attempts that failed for reasons other than the recording.
_LOST = (LOST, BROKE)
_FUTILE = (*_LOST, UNFIT)


@dataclass(slots=True)
class RequestClaim(Claim):
    """An inference request that an executor has claimed."""

    recording: str
    request: Mapping[str, Any]
    #: All attempts so far. After `begin` the last one is this executor's, without an end.
    attempts: Attempts

    @property
    def lost(self) -> int:
        """Number of executors that earlier attempts lost."""
        return sum((attempt["ended"] or "").startswith(_LOST) for attempt in self.attempts)


class RequestQueue:
    """Claims inference requests for one executor and reports their results; a `WorkQueue`."""

    def __init__(self, url: str, record: WorkerRecord, queues: Sequence[str]) -> None:
        self.connector = worker_connector(url)
        self._holder = record.identity.token
        self._executor = record.name
        self._queues = list(queues)

    async def open(self) -> None:
        """Open the connections."""
        await self.connector.open_async()

    async def claim(self) -> RequestClaim | None:
        """Claim the oldest waiting request. Its attempt starts with `begin`."""
        rows = await self._rows(_CLAIM, holder=self._holder, queues=self._queues)
        for row in rows:
            lease = Lease(row["key"], self._holder, row["claims"])
            return RequestClaim(lease, row["task"], row["recording"], row["request"], row["attempts"])
        return None

    async def begin(self, claim: RequestClaim) -> bool:
        """Begin an attempt; return False if the lease has expired."""
        rows = await self._rows(_BEGIN, executor=self._executor, **claim.lease.parameters())
        for row in rows:
            claim.attempts = row["attempts"]
        return bool(rows)

    async def finish(self, claim: RequestClaim, result: Mapping[str, Any]) -> None:
        """Store the answer."""
        await self._end(claim.lease, _end_attempt(claim.attempts, "done"), state="done", result=result)

    async def fail(self, claim: RequestClaim, error: Exception) -> None:
        """Store the error, which the client will raise."""
        if not isinstance(error, TranscriptionError):
            # A bug in the program: the executor's log has the traceback.
            error = TranscriptionError(f"the executor raised an unexpected {error!r}")
        await self._end(claim.lease, _end_attempt(claim.attempts, f"failed: {error}"), state="failed", error=error)

    async def give_back(self, claim: RequestClaim, reason: str) -> None:
        """End the attempt without an answer. Another executor starts the next one, up to `MAX_ATTEMPTS`."""
        await self._requeue(claim.lease, _end_attempt(claim.attempts, reason))

    async def report_progress(self, claim: RequestClaim, progress: float) -> None:
        """Store the attempt's progress, 0 to 1."""
        await self.connector.execute_query_async(_PROGRESS, progress=progress, **claim.lease.parameters())

    async def leases(self) -> Mapping[Lease, bool]:
        """Return the valid leases of this executor, each with False: a canceled request has no lease."""
        rows = await self._rows(_LEASES, holder=self._holder)
        return {Lease(row["key"], self._holder, row["claims"]): False for row in rows}

    async def foreign_leases(self) -> list[ForeignLease]:
        """Return the valid leases of all other executors."""
        return [
            ForeignLease(
                Lease(row["key"], row["holder"], row["claims"]),
                row["token"],
                Heartbeat(row["holder"], row["beat"], row["place"], row["pid"]),
            )
            for row in await self._rows(_FOREIGN_LEASES, holder=self._holder)
        ]

    async def rescue(self, lease: Lease, *, beat: str | None = None) -> None:
        """Requeue a lost executor's request; see `WorkQueue`."""
        for row in await self._rows(_ATTEMPTS, **lease.parameters()):
            if await self._requeue(lease, _end_attempt(row["attempts"], LOST), beat=beat):
                logger.warning("requeued a lost executor's request", extra={"action": "rescue"})

    async def watch(self, on_change: Callable[[WorkId], None]) -> None:
        """Call `on_change` with the key of each request whose state changes."""

        async def changed(*, channel: str, payload: str) -> None:
            on_change(payload)

        await self.connector.listen_notify(changed, [INFERENCE_CHANNEL])

    async def _requeue(self, lease: Lease, attempts: Attempts, *, beat: str | None = None) -> bool:
        error = _final_error(attempts)
        state = "queued" if error is None else "failed"
        return await self._end(lease, attempts, state=state, error=error, beat=beat)

    async def _end(
        self,
        lease: Lease,
        attempts: Attempts,
        *,
        state: str,
        result: Mapping[str, Any] | None = None,
        error: TranscriptionError | None = None,
        beat: str | None = None,
    ) -> bool:
        rows = await self._rows(
            _END,
            **lease.parameters(),
            attempts=Jsonb(attempts),
            state=state,
            result=None if result is None else Jsonb(dict(result)),
            error=None if error is None else str(error),
            error_class=None if error is None else type(error).__name__,
            beat=beat,
        )
        if not rows:
            logger.warning(
                "a request was canceled or given to another executor: its result is discarded",
                extra={"action": "fenced"},
            )
        return bool(rows)

    async def _rows(self, statement: LiteralString, **parameters: Any) -> list[dict[str, Any]]:
        return await self.connector.execute_query_all_async(statement, **parameters)


def _end_attempt(attempts: Attempts, how: str) -> Attempts:
    """Return the attempts, with the outcome of the one in progress, if any."""
    return [attempt if attempt["ended"] is not None else {**attempt, "ended": how} for attempt in attempts]


def _final_error(attempts: Attempts) -> TranscriptionError | None:
    """Return the error that ends a request after `MAX_ATTEMPTS` failed attempts, with their history."""
    futile = [attempt for attempt in attempts if attempt["ended"].startswith(_FUTILE)]
    if len(futile) < MAX_ATTEMPTS:
        return None
    history = "; ".join(f"{attempt['executor']} at {attempt['started_at']}: {attempt['ended']}" for attempt in futile)
    if any(attempt["ended"].startswith(_LOST) for attempt in futile):
        return ExecutorLost(f"{len(futile)} executors were lost over this recording: {history}")
    return WorkerUnfit(f"{len(futile)} attempts failed before the work began: {history}")
