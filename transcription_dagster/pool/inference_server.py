"""An executor's side of `transcription_speech`: what was asked, and what came of it."""

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

#: How attempts end that cost their executor, and how those that say nothing against the recording.
_LOST = (inference_requests.LOST, inference_requests.BROKE)
_FUTILE = (*_LOST, inference_requests.UNFIT)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One executor's attempt at a request."""

    key: str
    #: The taking of the job that it is made under: what it reports counts only while nobody else has begun.
    lease: Lease
    recording: str
    request: Mapping[str, Any]
    #: Executors that this request has cost so far.
    lost: int


async def waiting_request(app: procrastinate.App, key: str) -> Mapping[str, Any] | None:
    """What is asked under `key`; None when it is done, withdrawn or unknown."""
    try:
        return (await app.connector.execute_query_one_async(inference_requests.WAITING, key=key))["request"]
    except NoResult:
        return None


async def begin(app: procrastinate.App, key: str, lease: Lease, *, executor: str) -> Attempt | None:
    """Begin an attempt; None when there is nothing to do any more, or the job was taken away.

    A request that `MAX_ATTEMPTS` executors gave no answer to is failed here instead, with the history of its attempts.
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
    """Store the result and tell whoever waits; False when the attempt does not count any more."""
    return await _end(app, attempt, state="done", ended="done", result=Jsonb(dict(result)))


async def fail(app: procrastinate.App, attempt: Attempt, error: TranscriptionError) -> None:
    """Store why the request failed and tell whoever waits."""
    ended, name = f"failed: {error}", type(error).__name__
    await _end(app, attempt, state="failed", ended=ended, error=str(error), error_class=name)


async def requeue_attempt(app: procrastinate.App, attempt: Attempt, *, reason: str) -> None:
    """End the attempt without a result: another executor will begin one."""
    await _end(app, attempt, state="queued", ended=reason)


async def device_broke(app: procrastinate.App, attempt: Attempt, error: DeviceBroken) -> None:
    """End the attempt, which made the device unusable: another executor will begin one, unless it was the last."""
    await requeue_attempt(app, attempt, reason=f"{inference_requests.BROKE}: {error}")


async def executor_unfit(app: procrastinate.App, attempt: Attempt, error: WorkerUnfit) -> None:
    """End the attempt, which this executor cannot carry out: another will begin one, unless it was the last."""
    await requeue_attempt(app, attempt, reason=f"{inference_requests.UNFIT}: {error}")


async def report_progress(app: procrastinate.App, attempt: Attempt, progress: float) -> None:
    """Write how far the attempt is, 0 to 1."""
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
    # Also then, for the answer of a statement that is repeated may have been lost.
    await app.connector.execute_query_async(inference_requests.NOTIFY, key=attempt.key)
    return bool(rows)
