"""Helpers for requests to GPU executors: requests, and the queue as executor processes use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

import psycopg

from transcription_dagster.pool.connection import open_connection
from transcription_dagster.pool.devices import GPU_QUEUE
from transcription_dagster.pool.inference_requests import TRANSCRIBE_TASK, InferenceRequest
from transcription_dagster.pool.request_queue import RequestClaim, RequestQueue
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster_tests.system import wait_until

RECORDING = "7f0c2b52-9d3b-4f0e-8a53-3b6f0a3f4f11"


def a_request(key: str = "one", run_id: str = "run-1", queue: str = GPU_QUEUE) -> InferenceRequest:
    return InferenceRequest(
        key=key, task=TRANSCRIBE_TASK, recording=RECORDING, run_id=run_id, queue=queue, request={"of": key}
    )


class Executors:
    """The queues of executor processes by name; each has claimed the request that the test assigned to it."""

    def __init__(self, url: str, open_queues: AsyncExitStack) -> None:
        self._url, self._open_queues = url, open_queues

    async def start(
        self, name: str = "gpu-0", queues: Sequence[str] = (GPU_QUEUE,), state: WorkerRecord | None = None
    ) -> RequestQueue:
        queue = RequestQueue(self._url, state or WorkerRecord(name, "gpu"), queues)
        await queue.open()
        self._open_queues.push_async_callback(queue.connector.close_async)
        return queue

    async def begin(self, name: str = "gpu-0") -> tuple[RequestQueue, RequestClaim]:
        """Start an executor that claims the waiting request and begins an attempt."""
        queue = await self.start(name)
        claim = await queue.claim()
        assert claim is not None
        assert await queue.begin(claim)
        return queue, claim

    async def lose(self, queue: RequestQueue, claim: RequestClaim) -> None:
        """Have another executor rescue this one's work, as if it were dead."""
        await queue.rescue(claim.lease)


def on_executors(url: str, steps: Callable[[Executors], Coroutine[Any, Any, Any]]) -> Any:
    """Run `steps` in an event loop, as executors do."""

    async def run() -> Any:
        async with AsyncExitStack() as open_queues:
            return await steps(Executors(url, open_queues))

    return asyncio.run(run())


def requests(url: str) -> list[dict[str, Any]]:
    with open_connection(url) as connection:
        return list(connection.execute("SELECT key, queue, state FROM inference_requests ORDER BY created_at, key"))


def finish(key: str, result: dict[str, Any]) -> Callable[[Executors], Coroutine[Any, Any, None]]:
    async def steps(executors: Executors) -> None:
        queue, claim = await executors.begin()
        assert claim.lease.work == key
        await queue.finish(claim, result)

    return steps


def fail(error: Exception) -> Callable[[Executors], Coroutine[Any, Any, None]]:
    async def steps(executors: Executors) -> None:
        queue, claim = await executors.begin()
        await queue.fail(claim, error)

    return steps


def until_listening(connection: psycopg.Connection[Any]) -> None:
    """Wait until a session has reported that it listens."""
    listening = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"
    wait_until(lambda: connection.execute(listening).fetchone(), 120, "a session listens", every=0.02)
