"""Who is alive, and what becomes of the work of those who are not."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import procrastinate
import pytest

from transcription_dagster.errors import DatabaseUnavailable, StackError
from transcription_dagster.queueing import slots
from transcription_dagster.queueing.app import connect, jobs, worker_app
from transcription_dagster.queueing.health import find_run_job, read_pool
from transcription_dagster.queueing.liveness import is_lost
from transcription_dagster.queueing.names import RUNS_QUEUE, run_key
from transcription_dagster.workers.pool_worker import WorkerState


def test_a_worker_is_alive_while_it_is_heard_and_dead_when_it_falls_silent(queues: str) -> None:
    publish(queues, WorkerState("gpu-0@here", "gpu", device="cuda:0", state="idle"))
    (worker,) = read_pool(queues, stale_seconds=8).alive("gpu")
    assert (worker.name, worker.device, worker.state) == ("gpu-0@here", "cuda:0", "idle")
    silence(queues, "gpu-0@here", seconds=9)
    pool = read_pool(queues, stale_seconds=8)
    assert pool.alive("gpu") == ()
    assert pool.workers[0].state == "dead"


@pytest.mark.parametrize("state", ["starting", "draining"])
def test_a_worker_that_takes_no_work_does_not_count(queues: str, state: Any) -> None:
    publish(queues, WorkerState("run-1@here", "run", state=state))
    assert read_pool(queues, stale_seconds=8).alive("run") == ()


def test_a_slot_is_refused_while_a_living_worker_has_it(queues: str) -> None:
    publish(queues, WorkerState("run-1@here", "run", state="idle"))
    with pytest.raises(StackError, match=rf"run-1@here runs already, as process {os.getpid()}"):
        in_loop(queues, lambda app: slots.take(app, "run-1@here", stale_seconds=8))


def test_the_next_process_in_a_slot_gives_back_what_the_last_one_left(queues: str) -> None:
    queue_run(queues, "r1")

    async def die_and_come_back(app: procrastinate.App) -> None:
        state = WorkerState("run-1@here", "run", state="busy", worker_id=await app.job_manager.register_worker())
        await slots.publish(app, state)
        assert state.worker_id is not None
        assert await app.job_manager.fetch_job([RUNS_QUEUE], state.worker_id) is not None
        await slots.release_jobs(app, "run-1@here")

    in_loop(queues, die_and_come_back)
    assert job_status(queues, "r1") == "todo"


def test_the_jobs_of_a_silent_worker_are_given_back_and_those_of_a_living_one_are_not(queues: str) -> None:
    queue_run(queues, "r1")
    queue_run(queues, "r2")

    async def look(app: procrastinate.App) -> None:
        dead, alive = [await app.job_manager.register_worker() for _ in range(2)]
        for worker in (dead, alive):
            assert await app.job_manager.fetch_job([RUNS_QUEUE], worker) is not None
        age = "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '9 seconds' WHERE id = %(id)s"
        await app.connector.execute_query_async(age, id=dead)
        await slots.DeathWatch(app, stale_seconds=8, watch_seconds=0).look()

    in_loop(queues, look)
    assert (job_status(queues, "r1"), job_status(queues, "r2")) == ("todo", "doing")


def test_a_process_that_is_there_is_not_lost_however_starved_until_it_hangs() -> None:
    here, nobody = socket.gethostname(), 2**22 - 1
    assert not is_lost(here, os.getpid(), 30.0, stale_seconds=8)
    assert is_lost(here, os.getpid(), 61.0, stale_seconds=8)
    assert is_lost(here, nobody, 0.1, stale_seconds=8)


def test_a_worker_of_another_machine_is_lost_after_its_silence() -> None:
    assert not is_lost("elsewhere", os.getpid(), 7.0, stale_seconds=8)
    assert is_lost("elsewhere", os.getpid(), 9.0, stale_seconds=8)
    assert is_lost(None, None, None, stale_seconds=8)


def test_a_job_that_no_answer_told_of_is_given_back_at_the_second_look(queues: str) -> None:
    queue_run(queues, "r1")

    async def look_twice(app: procrastinate.App) -> set[int]:
        worker = await app.job_manager.register_worker()
        await app.job_manager.fetch_job([RUNS_QUEUE], worker)
        suspected = await slots.release_unknown(app, worker, known=set(), suspected=set())
        assert job_status(queues, "r1") == "doing"
        return await slots.release_unknown(app, worker, known=set(), suspected=suspected)

    assert in_loop(queues, look_twice) == set()
    assert job_status(queues, "r1") == "todo"


def test_a_job_in_hand_is_never_given_back(queues: str) -> None:
    queue_run(queues, "r1")

    async def look_twice(app: procrastinate.App) -> None:
        worker = await app.job_manager.register_worker()
        job = await app.job_manager.fetch_job([RUNS_QUEUE], worker)
        assert job is not None
        assert job.id is not None
        suspected: set[int] = set()
        for _ in range(3):
            suspected = await slots.release_unknown(app, worker, known={job.id}, suspected=suspected)

    in_loop(queues, look_twice)
    assert job_status(queues, "r1") == "doing"


def test_a_run_job_is_lost_once_its_worker_fell_silent(queues: str) -> None:
    queue_run(queues, "r1")

    async def take(app: procrastinate.App) -> None:
        await app.job_manager.fetch_job([RUNS_QUEUE], await app.job_manager.register_worker())

    in_loop(queues, take)
    with connect(queues) as connection:
        job = find_run_job(connection, "r1", stale_seconds=8)
        assert job is not None
        assert (job.status, job.lost) == ("doing", False)
        connection.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '9 seconds'")
        job = find_run_job(connection, "r1", stale_seconds=8)
        assert job is not None
        assert job.lost
        assert find_run_job(connection, "unknown", stale_seconds=8) is None


def test_a_database_that_does_not_answer_is_said_without_its_password() -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        read_pool("postgresql://someone:secret-word@127.0.0.1:1/nothing", stale_seconds=8)
    assert "secret-word" not in str(caught.value)


def in_loop(url: str, steps: Any) -> Any:
    async def run() -> Any:
        async with worker_app(url).open_async() as app:
            return await steps(app)

    return asyncio.run(run())


def publish(url: str, state: WorkerState) -> None:
    in_loop(url, lambda app: slots.publish(app, state))


def silence(url: str, name: str, *, seconds: float) -> None:
    with connect(url) as connection:
        connection.execute(
            "UPDATE transcription_workers SET seen_at = now() - make_interval(secs => %s) WHERE name = %s",
            (seconds, name),
        )


def queue_run(url: str, run_id: str) -> None:
    with connect(url) as connection:
        task = jobs.configure_task(
            "execute_run", allow_unknown=True, queue=RUNS_QUEUE, queueing_lock=run_key(run_id), connection=connection
        )
        task.defer()


def job_status(url: str, run_id: str) -> str | None:
    with connect(url) as connection:
        job = find_run_job(connection, run_id, stale_seconds=3600)
    return job.status if job else None
