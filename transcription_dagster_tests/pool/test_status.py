"""Which workers are alive, and what happens to the work of dead ones."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from transcription_dagster.errors import DatabaseUnavailable, StackError
from transcription_dagster.pool import worker_registry
from transcription_dagster.pool.connection import job_app, open_connection, worker_connector
from transcription_dagster.pool.inference_client import InferenceClient
from transcription_dagster.pool.inference_requests import InferenceRequest
from transcription_dagster.pool.liveness import Identity
from transcription_dagster.pool.run_queue import RUNS_QUEUE, JobClaim, RunQueue, run_job_key
from transcription_dagster.pool.status import PoolReader, find_run_job, read_pool
from transcription_dagster.pool.work_queue import Rescuer
from transcription_dagster.pool.worker_registry import WorkerRecord

pytestmark = pytest.mark.slow

RECORDING = "7f0c2b52-9d3b-4f0e-8a53-3b6f0a3f4f11"

#: Seconds; workers in these tests send no heartbeats by themselves.
STALE, BEAT = 1.2, 0.3

ELSEWHERE = replace(Identity.of_this_process(), host="elsewhere", place="another machine", pid=1)
#: No process has this pid.
GONE = replace(Identity.of_this_process(), pid=2**22 - 1)


def test_a_worker_is_alive_while_it_beats(queues: str) -> None:
    publish(queues, WorkerRecord("gpu-0@here", "gpu", device="cuda:0", state="idle"))
    (worker,) = read_pool(queues, stale_seconds=8).alive("gpu")
    assert (worker.name, worker.device, worker.state) == ("gpu-0@here", "cuda:0", "idle")


def test_a_silent_worker_gets_no_work_and_is_dead_after_long_observation(queues: str) -> None:
    publish(queues, WorkerRecord("gpu-0@far", "gpu", state="idle", identity=ELSEWHERE))
    step_clock(queues, seconds=STALE + 1)
    pool = read_pool(queues, stale_seconds=STALE)
    assert pool.alive("gpu") == ()
    assert pool.workers[0].state == "silent"
    assert reader().settle(queues).workers[0].state == "dead"


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_change_makes_no_worker_dead(queues: str, hours: int) -> None:
    state = WorkerRecord("gpu-0@far", "gpu", state="idle", identity=ELSEWHERE)
    publish(queues, state)
    before = reader()
    before.read(queues)
    publish(queues, state)
    assert before.read(queues).workers[0].state == "idle"
    step_clock(queues, seconds=hours * 3600)
    # An observer that has seen a heartbeat trusts it; a new observer waits for the next one.
    assert before.read(queues).workers[0].state == "idle"
    new = reader()
    assert new.read(queues).workers[0].state == "silent"
    publish(queues, state)
    assert new.read(queues).workers[0].state == "idle"


@pytest.mark.parametrize("state", ["starting", "draining"])
def test_a_worker_that_takes_no_work_does_not_count(queues: str, state: Any) -> None:
    publish(queues, WorkerRecord("run-1@here", "run", state=state))
    assert read_pool(queues, stale_seconds=8).alive("run") == ()


def test_a_slot_of_a_live_worker_is_refused(queues: str) -> None:
    async def take_while_it_beats(workers: Workers) -> None:
        first = await workers.start("run-1@here")
        await first.publish()
        beating = asyncio.create_task(first.beat())
        try:
            await (await workers.start("run-1@here")).take(stale_seconds=8)
        finally:
            beating.cancel()

    with pytest.raises(StackError, match=rf"run-1@here is already running as process {os.getpid()}"):
        with_workers(queues, take_while_it_beats)


@pytest.mark.parametrize("last", [GONE, ELSEWHERE])
def test_the_next_process_in_a_slot_requeues_the_previous_ones_work(queues: str, last: Identity) -> None:
    queue_run(queues, "r1")

    async def die_and_come_back(workers: Workers) -> None:
        first = await workers.start("run-1@here", last)
        await first.publish()
        assert await first.queue.claim() is not None
        following = await workers.start("run-1@here")
        await following.take()
        assert await following.publish()
        # The previous process finds its slot taken when it returns, and can no longer free it.
        assert not await first.publish()
        await worker_registry.free_slot(first.queue.connector, first.state)

    with_workers(queues, die_and_come_back)
    assert job_status(queues, "r1") == "todo"
    assert [worker.pid for worker in read_pool(queues, stale_seconds=8).workers] == [os.getpid()]


def test_one_of_two_processes_claiming_a_slot_gets_it(queues: str) -> None:
    async def take_twice(workers: Workers) -> list[BaseException | None]:
        rivals = [await workers.start("run-1@here") for _ in range(2)]
        claims = [asyncio.create_task(worker.take()) for worker in rivals]
        while not all(claim.done() for claim in claims):
            # One that has the slot sends heartbeats, so that the other, if it comes later, does not find it dead.
            for worker, claim in zip(rivals, claims, strict=True):
                if claim.done() and claim.exception() is None:
                    await worker.publish()
            await asyncio.sleep(BEAT / 2)
        return [claim.exception() for claim in claims]

    errors = with_workers(queues, take_twice)
    assert sorted(type(error).__name__ for error in errors) == ["NoneType", "StackError"]


def test_only_jobs_of_silent_workers_are_requeued(queues: str) -> None:
    for run in ("r1", "r2", "r3"):
        queue_run(queues, run)

    async def watch(workers: Workers) -> None:
        dead, alive, observer = [await workers.start(name) for name in ("dead", "alive", "own")]
        for worker in (dead, alive, observer):
            assert await worker.queue.claim() is not None
        rescuer = Rescuer(observer.queue, stale_seconds=STALE, beat_seconds=BEAT)
        while job_status(queues, "r1") != "todo":
            await alive.publish()
            await rescuer.rescue()
            await asyncio.sleep(BEAT / 2)

    with_workers(queues, watch)
    assert (job_status(queues, "r2"), job_status(queues, "r3")) == ("doing", "doing")


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_change_requeues_no_work(queues: str, hours: int) -> None:
    queue_run(queues, "r1")

    async def watch(workers: Workers) -> None:
        living, observer = await workers.start("run-1@far", ELSEWHERE), await workers.start("run-2@here")
        await living.queue.claim()
        rescuer = Rescuer(observer.queue, stale_seconds=STALE, beat_seconds=BEAT)
        for number in range(12):
            if number == 4:
                step_clock(queues, seconds=hours * 3600)
            await living.publish()
            await rescuer.rescue()
            await asyncio.sleep(BEAT / 2)

    with_workers(queues, watch)
    assert job_status(queues, "r1") == "doing"


def test_a_worker_with_a_newer_heartbeat_keeps_its_job(queues: str) -> None:
    queue_run(queues, "r1")

    async def give_back_too_late(workers: Workers) -> None:
        worker = await workers.start("run-1@here")
        claim = await worker.queue.claim()
        assert claim is not None
        for _ in range(2):
            await worker.publish()
        await worker.queue.rescue(claim.lease, beat="1")
        assert job_status(queues, "r1") == "doing"
        await worker.queue.rescue(claim.lease, beat="2")

    with_workers(queues, give_back_too_late)
    assert job_status(queues, "r1") == "todo"


def test_a_claim_of_a_slot_whose_answer_was_lost_can_be_repeated(queues: str) -> None:
    async def take_twice(workers: Workers) -> None:
        worker = await workers.start("run-1@here")
        after_each_statement(worker, worker.queue.connector.execute_query_all_async)
        await worker.take()
        assert await worker.publish()

    with_workers(queues, take_twice)


def test_a_process_that_loses_a_free_slot_leaves_the_winners_work_alone(queues: str) -> None:
    queue_run(queues, "r1")

    async def take_late(workers: Workers) -> None:
        loser, winner = await workers.start("run-1@here"), await workers.start("run-1@here")
        claims: list[JobClaim | None] = []

        async def win(_query: str, **_arguments: object) -> None:
            if not claims:
                await winner.take()
                claims.append(await winner.queue.claim())

        after_each_statement(loser, win)
        with pytest.raises(StackError):
            await loser.take()
        assert [claim.lease for claim in claims if claim] == [*await winner.queue.leases()]

    with_workers(queues, take_late)
    assert job_status(queues, "r1") == "doing"


def test_waiting_runs_and_requests_are_counted_by_queue(queues: str) -> None:
    queue_run(queues, "r1")
    for key, queue in (("a", "gpu"), ("b", "gpu"), ("c", "gpu:1")):
        InferenceClient(queues).ask(InferenceRequest(key, "transcribe", RECORDING, "r1", queue, {}))
    assert read_pool(queues, stale_seconds=8).queues == {"runs": 1, "gpu": 2, "gpu:1": 1}


def test_an_unavailable_database_is_reported_without_its_password() -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        read_pool("postgresql://someone:secret-word@127.0.0.1:1/nothing", stale_seconds=8)
    assert "secret-word" not in str(caught.value)


def reader() -> PoolReader:
    return PoolReader(stale_seconds=STALE, beat_seconds=BEAT)


class Worker:
    """A run worker's process, as the database sees it."""

    def __init__(self, url: str, name: str, identity: Identity) -> None:
        self.state = WorkerRecord(name, "run", identity=identity)
        self.queue = RunQueue(url, self.state, [RUNS_QUEUE])

    async def publish(self) -> bool:
        return await worker_registry.publish_record(self.queue.connector, self.state)

    async def take(self, stale_seconds: float = STALE) -> None:
        await worker_registry.claim_slot(
            self.queue.connector, self.state, self.queue, stale_seconds=stale_seconds, beat_seconds=BEAT
        )

    async def beat(self) -> None:
        while True:
            await self.publish()
            await asyncio.sleep(BEAT)


class Workers:
    """Starts workers, and closes their connections after the test."""

    def __init__(self, url: str, open_queues: AsyncExitStack) -> None:
        self._url, self._open_queues = url, open_queues

    async def start(self, name: str, identity: Identity | None = None) -> Worker:
        worker = Worker(self._url, name, identity or Identity.of_this_process())
        await worker.queue.open()
        self._open_queues.push_async_callback(worker.queue.connector.close_async)
        return worker


def after_each_statement(worker: Worker, then: Callable[..., Coroutine[Any, Any, Any]]) -> None:
    """Call `then` with each statement that the worker has executed, and its arguments."""
    execute = worker.queue.connector.execute_query_all_async

    async def executed(query: Any, **arguments: Any) -> list[dict[str, Any]]:
        rows = await execute(query, **arguments)
        changed_rows = await then(query, **arguments)
        return rows if changed_rows is None else changed_rows

    worker.queue.connector.execute_query_all_async = executed


def with_workers(url: str, steps: Callable[[Workers], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        async with AsyncExitStack() as open_queues:
            return await steps(Workers(url, open_queues))

    return asyncio.run(run())


def publish(url: str, state: WorkerRecord) -> None:
    async def steps() -> None:
        connector = worker_connector(url)
        await connector.open_async()
        try:
            await worker_registry.publish_record(connector, state)
        finally:
            await connector.close_async()

    asyncio.run(steps())


def step_clock(url: str, *, seconds: float) -> None:
    """Move the database's clock forward, as seen by readers of earlier heartbeats."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE transcription_workers SET seen_at = seen_at - make_interval(secs => %s)", (seconds,))


def queue_run(url: str, run_id: str) -> None:
    with open_connection(url) as connection:
        task = job_app.configure_task(
            "execute_run",
            allow_unknown=True,
            queue=RUNS_QUEUE,
            queueing_lock=run_job_key(run_id),
            connection=connection,
        )
        task.defer()


def job_status(url: str, run_id: str) -> str | None:
    with open_connection(url) as connection:
        job = find_run_job(connection, run_id)
    return job.status if job else None
