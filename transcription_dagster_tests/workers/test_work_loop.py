"""A worker's loop: claiming, executing and reporting work, on a real queue in this process."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from transcription_dagster.errors import StackError, TranscriptionError
from transcription_dagster.pool.connection import open_connection
from transcription_dagster.pool.devices import GPU_QUEUE
from transcription_dagster.pool.inference_client import InferenceClient, cancel_requests_of_run
from transcription_dagster.pool.inference_requests import InferenceRequest
from transcription_dagster.pool.request_queue import RequestClaim, RequestQueue
from transcription_dagster.pool.work_queue import HeldWork, WorkId
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.settings import Settings
from transcription_dagster.workers import pool_worker, work_loop
from transcription_dagster.workers.pool_worker import PoolWorker
from transcription_dagster_tests.postgres import cloned_database, close_database
from transcription_dagster_tests.system import wait_until
from transcription_dagster_tests.workers.in_process import at_work

pytestmark = pytest.mark.slow

RECORDING = "7f0c2b52-9d3b-4f0e-8a53-3b6f0a3f4f11"


@pytest.fixture
def url() -> Iterator[str]:
    with cloned_database() as url:
        yield url


class Executor:
    """A worker whose work waits until the test releases it."""

    def __init__(self, url: str, **settings: Any) -> None:
        state = WorkerRecord("gpu-0", "gpu")
        self.queue = RequestQueue(url, state, [GPU_QUEUE])
        self.pool = PoolWorker(Settings(heartbeat_seconds=0.2, stale_seconds=1, **settings), state, self.queue)
        self.pool.work.task("wait", self._wait)
        self.under_way: set[str] = set()
        self.stopped: set[str] = set()
        self.go_on = threading.Event()
        self.result: Any = "done"

    async def _wait(self, held: HeldWork[RequestClaim]) -> dict[str, Any]:
        key = str(held.claim.lease.work)
        await self.queue.begin(held.claim)
        self.under_way.add(key)
        try:
            while not self.go_on.is_set():
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.stopped.add(key)
            raise
        finally:
            self.under_way.discard(key)
        return {"result": self.result}


def request(key: str, task: str = "wait") -> InferenceRequest:
    return InferenceRequest(key, task, RECORDING, f"run of {key}", GPU_QUEUE, {})


def ask(url: str, *keys: str) -> None:
    for key in keys:
        InferenceClient(url).ask(request(key))


def wait_for(url: str, key: str) -> Any:
    return InferenceClient(url).wait(request(key), on_event=print).result["result"]


def rows(url: str) -> dict[str, tuple[str, list[str]]]:
    """Return each request's state and the outcome of its attempts."""
    with open_connection(url) as connection:
        requests = connection.execute("SELECT key, state, attempts FROM inference_requests").fetchall()
    return {row["key"]: (row["state"], [attempt["ended"] for attempt in row["attempts"]]) for row in requests}


def until(condition: Callable[[], object]) -> None:
    wait_until(condition, 120, "the worker gets there", every=0.02)


def test_a_worker_runs_up_to_its_limit_concurrently(url: str) -> None:
    executor = Executor(url)
    executor.pool.may_take = lambda: len(executor.pool.work.held) < 2
    ask(url, "a", "b", "c")
    with at_work(executor.pool):
        until(lambda: executor.under_way == {"a", "b"})
        assert rows(url)["c"] == ("queued", [])
        executor.go_on.set()
        assert [wait_for(url, key) for key in ("a", "b", "c")] == ["done"] * 3


def test_an_idle_worker_claims_new_work(url: str) -> None:
    executor = Executor(url)
    executor.go_on.set()
    with at_work(executor.pool):
        until(lambda: executor.pool.record.state == "idle")
        ask(url, "late")
        assert wait_for(url, "late") == "done"


def test_canceled_work_is_stopped_and_the_worker_continues(url: str) -> None:
    executor = Executor(url)
    ask(url, "a", "b")
    with at_work(executor.pool):
        until(lambda: executor.under_way == {"a"})
        cancel_requests_of_run(url, "run of a")
        until(lambda: executor.under_way == {"b"})
        assert executor.stopped == {"a"}
        executor.go_on.set()
    assert rows(url) == {"a": ("failed", ["withdrawn"]), "b": ("done", ["done"])}


def test_unknown_leases_are_returned_to_the_queue(url: str) -> None:
    executor = Executor(url)
    executor.pool.may_take = lambda: False
    ask(url, "a")

    async def claim_unnoticed() -> None:
        queue = RequestQueue(url, executor.pool.record, [GPU_QUEUE])
        await queue.open()
        assert await queue.claim() is not None
        await queue.connector.close_async()

    asyncio.run(claim_unnoticed())
    assert rows(url)["a"][0] == "doing"
    with at_work(executor.pool):
        until(lambda: rows(url)["a"] == ("queued", []))


def test_work_that_exceeds_the_shutdown_time_is_requeued(url: str) -> None:
    executor = Executor(url, shutdown_seconds=0.2)
    ask(url, "a")
    with at_work(executor.pool):
        until(lambda: executor.under_way)
    assert rows(url) == {"a": ("queued", ["the executor was stopped"])}


def test_a_worker_stops_although_a_library_loses_cancellations(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = Executor(url)
    swallowed: list[asyncio.CancelledError] = []

    async def watch(_on_change: Callable[[WorkId], None]) -> None:
        while len(swallowed) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as cancellation:
                swallowed.append(cancellation)

    monkeypatch.setattr(executor.queue, "watch", watch)
    monkeypatch.setattr(work_loop, "_CANCEL_SECONDS", 0.01)
    with at_work(executor.pool):
        until(lambda: executor.pool.record.state == "idle")
    assert len(swallowed) == 3


def test_an_idle_worker_stops_although_the_database_is_away(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = Executor(url)
    monkeypatch.setattr(pool_worker, "_LEAVE_SECONDS", 1.0)
    with at_work(executor.pool):
        until(lambda: executor.pool.record.state == "idle")
        close_database(url)
    assert executor.pool._failure is None


def test_work_of_an_unknown_task_fails_with_advice(url: str) -> None:
    executor = Executor(url)
    InferenceClient(url).ask(request("a", "sing"))
    with at_work(executor.pool), pytest.raises(StackError, match=r"no task 'sing': upgrade the program"):
        InferenceClient(url).wait(request("a", "sing"), on_event=print)


def test_a_refused_result_fails_only_its_request(url: str) -> None:
    executor = Executor(url)
    executor.result = math.nan
    executor.go_on.set()
    ask(url, "a")
    with at_work(executor.pool):
        with pytest.raises(TranscriptionError, match="unexpected"):
            wait_for(url, "a")
        executor.result = 1.0
        ask(url, "b")
        assert wait_for(url, "b") == 1.0


def test_a_worker_ends_after_its_maximum_number_of_jobs(url: str) -> None:
    executor = Executor(url, max_jobs_per_worker=2)
    executor.pool.may_take = lambda: True
    ask(url, "a", "b", "c")
    with at_work(executor.pool):
        until(lambda: len(executor.under_way) == 2)
        executor.go_on.set()
        until(executor.pool.draining.is_set)
    assert [rows(url)[key][0] for key in "abc"] == ["done", "done", "queued"]
