"""The executors' queue: inference requests claimed from their table, with the history of their attempts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, TypeAlias

from psycopg.types.json import Jsonb

from transcription_dagster.errors import ExecutorLost, TranscriptionError, WorkerUnfit
from transcription_dagster.pool import inference_requests
from transcription_dagster.pool.liveness import Heartbeat
from transcription_dagster.pool.names import INFERENCE_CHANNEL
from transcription_dagster.pool.queue import worker_connector
from transcription_dagster.pool.work_queue import Claim, ForeignLease, Lease, WorkId
from transcription_dagster.pool.worker_registry import WorkerRecord

logger = logging.getLogger(__name__)

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

    def __init__(self, url: str, state: WorkerRecord, queues: Sequence[str]) -> None:
        self.connector = worker_connector(url)
        self._holder = state.identity.token
        self._executor = state.name
        self._queues = list(queues)

    async def open(self) -> None:
        """Open the connections."""
        await self.connector.open_async()

    async def claim(self) -> RequestClaim | None:
        """Claim the oldest waiting request. Its attempt starts with `begin`."""
        rows = await self._rows(inference_requests.CLAIM, holder=self._holder, queues=self._queues)
        for row in rows:
            lease = Lease(row["key"], self._holder, row["claims"])
            return RequestClaim(lease, row["task"], row["recording"], row["request"], row["attempts"])
        return None

    async def begin(self, claim: RequestClaim) -> bool:
        """Begin an attempt; return False if the lease has expired."""
        rows = await self._rows(inference_requests.BEGIN, executor=self._executor, **claim.lease.parameters())
        for row in rows:
            claim.attempts = row["attempts"]
        return bool(rows)

    async def finish(self, claim: RequestClaim, result: Mapping[str, Any]) -> None:
        """Store the answer."""
        await self._end(claim.lease, _ended(claim.attempts, "done"), state="done", result=result)

    async def fail(self, claim: RequestClaim, error: Exception) -> None:
        """Store the error, which the client will raise."""
        if not isinstance(error, TranscriptionError):
            # A bug in the program: the executor's log has the traceback.
            error = TranscriptionError(f"the executor raised an unexpected {error!r}")
        await self._end(claim.lease, _ended(claim.attempts, f"failed: {error}"), state="failed", error=error)

    async def give_back(self, claim: RequestClaim, reason: str) -> None:
        """End the attempt without an answer. Another executor starts the next one, up to `MAX_ATTEMPTS`."""
        await self._requeue(claim.lease, _ended(claim.attempts, reason))

    async def report_progress(self, claim: RequestClaim, progress: float) -> None:
        """Store the attempt's progress, 0 to 1."""
        await self.connector.execute_query_async(
            inference_requests.PROGRESS, progress=progress, **claim.lease.parameters()
        )

    async def leases(self) -> Mapping[Lease, bool]:
        """Return the valid leases of this executor, each with False: a canceled request has no lease."""
        rows = await self._rows(inference_requests.LEASES, holder=self._holder)
        return {Lease(row["key"], self._holder, row["claims"]): False for row in rows}

    async def foreign_leases(self) -> list[ForeignLease]:
        """Return the valid leases of all other executors."""
        return [
            ForeignLease(
                Lease(row["key"], row["holder"], row["claims"]),
                row["token"],
                Heartbeat(row["holder"], row["beat"], row["place"], row["pid"]),
            )
            for row in await self._rows(inference_requests.FOREIGN_LEASES, holder=self._holder)
        ]

    async def rescue(self, lease: Lease, *, beat: str | None = None) -> None:
        """Requeue a lost executor's request; see `WorkQueue`."""
        for row in await self._rows(inference_requests.ATTEMPTS, **lease.parameters()):
            if await self._requeue(lease, _ended(row["attempts"], LOST), beat=beat):
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
            inference_requests.END,
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


def _ended(attempts: Attempts, how: str) -> Attempts:
    """Return the attempts, with the outcome of the one in progress, if any."""
    return [attempt if attempt["ended"] is not None else {**attempt, "ended": how} for attempt in attempts]


def _final_error(attempts: Attempts) -> TranscriptionError | None:
    """Return the error that ends a request after `MAX_ATTEMPTS` failed attempts, with their history."""
    futile = [attempt for attempt in attempts if attempt["ended"].startswith(_FUTILE)]
    if len(futile) < MAX_ATTEMPTS:
        return None
    history = "; ".join(f"{one['executor']} at {one['started_at']}: {one['ended']}" for one in futile)
    if any(attempt["ended"].startswith(_LOST) for attempt in futile):
        return ExecutorLost(f"{len(futile)} executors were lost over this recording: {history}")
    return WorkerUnfit(f"{len(futile)} attempts failed before the work began: {history}")
