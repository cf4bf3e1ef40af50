"""An executor's side of `transcription_speech`: what was asked, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import procrastinate
from procrastinate.exceptions import NoResult
from psycopg.types.json import Jsonb

from transcription_dagster.errors import ExecutorLost, TranscriptionError
from transcription_dagster.queueing import speech_table

_FATAL = (speech_table.LOST, speech_table.BROKE)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One executor's attempt at a request."""

    key: str
    recording: str
    request: Mapping[str, Any]
    #: Executors that this request has cost so far.
    lost: int


async def waiting_request(app: procrastinate.App, key: str) -> Mapping[str, Any] | None:
    """What is asked under `key`; None when it is done, withdrawn or unknown."""
    try:
        return (await app.connector.execute_query_one_async(speech_table.WAITING, key=key))["request"]
    except NoResult:
        return None


async def begin(app: procrastinate.App, key: str, *, executor: str) -> Attempt | None:
    """Begin an attempt; None when there is nothing to do any more.

    A request that cost `MAX_ATTEMPTS` executors is failed here instead, with the history of its attempts.
    """
    try:
        row = await app.connector.execute_query_one_async(speech_table.BEGIN, key=key, executor=executor)
    except NoResult:
        return None
    lost = [attempt for attempt in row["attempts"] if (attempt["ended"] or "").startswith(_FATAL)]
    if len(lost) >= speech_table.MAX_ATTEMPTS:
        history = "; ".join(f"{one['executor']} at {one['started_at']}: {one['ended']}" for one in lost)
        await fail(app, key, ExecutorLost(f"{len(lost)} executors were lost over this recording: {history}"))
        return None
    return Attempt(key, row["recording"], row["request"], len(lost))


async def answer(app: procrastinate.App, key: str, result: Mapping[str, Any]) -> None:
    """Store the result and tell whoever waits."""
    await _end(app, key, state="done", ended="done", result=Jsonb(dict(result)))


async def fail(app: procrastinate.App, key: str, error: TranscriptionError) -> None:
    """Store why the request failed and tell whoever waits."""
    await _end(app, key, state="failed", ended=f"failed: {error}", error=str(error), error_class=type(error).__name__)


async def give_back(app: procrastinate.App, key: str, *, reason: str) -> None:
    """End the attempt without a result: another executor will begin one."""
    await _end(app, key, state="queued", ended=reason)


async def device_broke(app: procrastinate.App, key: str, error: TranscriptionError) -> None:
    """End the attempt, which made the device unusable: another executor will begin one, unless it was the last."""
    await give_back(app, key, reason=f"{speech_table.BROKE}: {error}")


async def report_progress(app: procrastinate.App, key: str, progress: float) -> None:
    """Write how far the attempt is, 0 to 1."""
    await app.connector.execute_query_async(speech_table.PROGRESS, key=key, progress=progress)


async def _end(
    app: procrastinate.App,
    key: str,
    *,
    state: str,
    ended: str,
    result: Jsonb | None = None,
    error: str | None = None,
    error_class: str | None = None,
) -> None:
    await app.connector.execute_query_async(
        speech_table.END, key=key, state=state, ended=ended, result=result, error=error, error_class=error_class
    )
    await app.connector.execute_query_async(speech_table.NOTIFY, key=key)
