"""The executor's side of the inference requests: read a request, report how its attempt went."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import procrastinate
from procrastinate.exceptions import NoResult
from psycopg.types.json import Jsonb

from transcription_dagster.errors import DeviceBroken, ExecutorLost, TranscriptionError, WorkerUnfit
from transcription_dagster.pool import inference_requests
from transcription_dagster.pool.leases import Lease

logger = logging.getLogger(__name__)

#: Ends of attempts that lost their executor, and of all attempts that failed through no fault of the recording.
_LOST = (inference_requests.LOST, inference_requests.BROKE)
_FUTILE = (*_LOST, inference_requests.UNFIT)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One executor's attempt at a request."""

    key: str
    #: Lease of the job: the attempt's reports count only while it is valid.
    lease: Lease
    recording: str
    request: Mapping[str, Any]
    #: Executors that earlier attempts lost.
    lost: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that an executor may attempt."""

    request: Mapping[str, Any]
    #: Executors that earlier attempts lost, the last of them included.
    lost: int


async def waiting_request(app: procrastinate.App, key: str) -> Waiting | None:
    """Return the request `key`; None if it is done, canceled or unknown."""
    try:
        row = await app.connector.execute_query_one_async(inference_requests.WAITING, key=key)
    except NoResult:
        return None
    # An attempt without an end lost its executor: the next attempt will say so.
    ends = [attempt["ended"] or inference_requests.LOST for attempt in row["attempts"]]
    return Waiting(row["request"], sum(ended.startswith(_LOST) for ended in ends))


async def begin(app: procrastinate.App, key: str, lease: Lease, *, executor: str) -> Attempt | None:
    """Start an attempt; return None if the request needs none, or another executor has the job.

    After `MAX_ATTEMPTS` attempts without an answer the request fails, with the history of its attempts.
    """
    try:
        row = await app.connector.execute_query_one_async(
            inference_requests.BEGIN, key=key, executor=executor, lease=str(lease), **lease.parameters()
        )
    except NoResult:
        return None
    futile = [attempt for attempt in row["attempts"] if (attempt["ended"] or "").startswith(_FUTILE)]
    lost = [attempt for attempt in futile if attempt["ended"].startswith(_LOST)]
    attempt = Attempt(key, lease, row["recording"], row["request"], len(lost))
    if len(futile) >= inference_requests.MAX_ATTEMPTS:
        history = "; ".join(f"{one['executor']} at {one['started_at']}: {one['ended']}" for one in futile)
        if lost:
            await fail(app, attempt, ExecutorLost(f"{len(futile)} executors were lost over this recording: {history}"))
        else:
            await fail(app, attempt, WorkerUnfit(f"{len(futile)} attempts failed before the work began: {history}"))
        return None
    return attempt


async def answer(app: procrastinate.App, attempt: Attempt, result: Mapping[str, Any]) -> bool:
    """Store the result and notify the client; return False if the attempt's lease has expired."""
    return await _end(app, attempt, state="done", ended="done", result=Jsonb(dict(result)))


async def fail(app: procrastinate.App, attempt: Attempt, error: TranscriptionError) -> None:
    """Store the error and notify the client."""
    ended, name = f"failed: {error}", type(error).__name__
    await _end(app, attempt, state="failed", ended=ended, error=str(error), error_class=name)


async def requeue_attempt(app: procrastinate.App, attempt: Attempt, *, reason: str) -> None:
    """End the attempt without a result: another executor starts the next one."""
    await _end(app, attempt, state="queued", ended=reason)


async def device_broke(app: procrastinate.App, attempt: Attempt, error: DeviceBroken) -> None:
    """End an attempt that left the device unusable; another executor retries, up to `MAX_ATTEMPTS`."""
    await requeue_attempt(app, attempt, reason=f"{inference_requests.BROKE}: {error}")


async def executor_unfit(app: procrastinate.App, attempt: Attempt, error: WorkerUnfit) -> None:
    """End an attempt that this executor cannot carry out; another executor retries, up to `MAX_ATTEMPTS`."""
    await requeue_attempt(app, attempt, reason=f"{inference_requests.UNFIT}: {error}")


async def report_progress(app: procrastinate.App, attempt: Attempt, progress: float) -> None:
    """Store the attempt's progress, 0 to 1."""
    await app.connector.execute_query_async(
        inference_requests.PROGRESS, key=attempt.key, lease=str(attempt.lease), progress=progress
    )


async def _end(
    app: procrastinate.App,
    attempt: Attempt,
    *,
    state: str,
    ended: str,
    result: Jsonb | None = None,
    error: str | None = None,
    error_class: str | None = None,
) -> bool:
    rows = await app.connector.execute_query_all_async(
        inference_requests.END,
        key=attempt.key,
        lease=str(attempt.lease),
        state=state,
        ended=ended,
        result=result,
        error=error,
        error_class=error_class,
    )
    if not rows:
        logger.warning(
            "the request of %s was withdrawn or taken from this executor: what came of it is not reported",
            attempt.recording,
            extra={"action": "fenced"},
        )
    # Even without a row: the statement may be a repetition whose first answer was lost.
    await app.connector.execute_query_async(inference_requests.NOTIFY, key=attempt.key)
    return bool(rows)
