"""Who is alive, and what becomes of the work of those who are not."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Any

import procrastinate
import psycopg
import pytest
from psycopg import sql

from transcription_dagster.errors import DatabaseUnavailable, StackError
from transcription_dagster.pool import worker_registry
from transcription_dagster.pool.leases import HeldJobs, LeasingJobManager
from transcription_dagster.pool.liveness import Identity
from transcription_dagster.pool.names import RUNS_QUEUE, run_job_key
from transcription_dagster.pool.queue import jobs, open_connection, worker_app
from transcription_dagster.pool.state import PoolReader, find_run_job, read_pool
from transcription_dagster.pool.worker_registry import WorkerRecord

#: Seconds in these tests, whose workers do not beat by themselves.
STALE, BEAT = 1.2, 0.3

ELSEWHERE = replace(Identity.of_this_process(), host="elsewhere", place="another machine", pid=1)
#: No process has this number.
GONE = replace(Identity.of_this_process(), pid=2**22 - 1)


def test_a_worker_is_alive_while_it_is_heard(queues: str) -> None:
    publish(queues, WorkerRecord("gpu-0@here", "gpu", device="cuda:0", state="idle"))
    (worker,) = read_pool(queues, stale_seconds=8).alive("gpu")
    assert (worker.name, worker.device, worker.state) == ("gpu-0@here", "cuda:0", "idle")


def test_a_worker_that_falls_silent_takes_no_work_and_is_dead_for_whoever_looks_for_long_enough(queues: str) -> None:
    publish(queues, WorkerRecord("gpu-0@far", "gpu", state="idle", identity=ELSEWHERE))
    step_clock(queues, seconds=STALE + 1)
    pool = read_pool(queues, stale_seconds=STALE)
    assert pool.alive("gpu") == ()
    assert pool.workers[0].state == "silent"
    assert reader().settle(queues).workers[0].state == "dead"


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_makes_nobody_dead(queues: str, hours: int) -> None:
    state = WorkerRecord("gpu-0@far", "gpu", state="idle", identity=ELSEWHERE)
    publish(queues, state)
    known = reader()
    known.read(queues)
    publish(queues, state)
    assert known.read(queues).workers[0].state == "idle"
    step_clock(queues, seconds=hours * 3600)
    # Who has heard it himself goes on; who comes new waits for its next beat.
    assert known.read(queues).workers[0].state == "idle"
    new = reader()
    assert new.read(queues).workers[0].state == "silent"
    publish(queues, state)
    assert new.read(queues).workers[0].state == "idle"


@pytest.mark.parametrize("state", ["starting", "draining"])
def test_a_worker_that_takes_no_work_does_not_count(queues: str, state: Any) -> None:
    publish(queues, WorkerRecord("run-1@here", "run", state=state))
    assert read_pool(queues, stale_seconds=8).alive("run") == ()


def test_a_slot_is_refused_while_a_living_worker_has_it(queues: str) -> None:
    state = WorkerRecord("run-1@here", "run", state="idle")

    async def take_while_it_beats(app: procrastinate.App) -> None:
        await worker_registry.publish_record(app, state)
        beating = asyncio.create_task(beat(app, state))
        try:
            await worker_registry.take(app, WorkerRecord("run-1@here", "run"), stale_seconds=8, beat_seconds=BEAT)
        finally:
            beating.cancel()

    with pytest.raises(StackError, match=rf"run-1@here runs already, as process {os.getpid()}"):
        in_loop(queues, take_while_it_beats)


@pytest.mark.parametrize("last", [GONE, ELSEWHERE])
def test_the_next_process_in_a_slot_gives_back_what_the_last_one_left(queues: str, last: Identity) -> None:
    queue_run(queues, "r1")

    async def die_and_come_back(app: procrastinate.App) -> None:
        state = WorkerRecord("run-1@here", "run", state="busy", identity=last)
        state.worker_id = await app.job_manager.register_worker()
        await worker_registry.publish_record(app, state)
        assert await app.job_manager.fetch_job([RUNS_QUEUE], state.worker_id) is not None
        following = WorkerRecord("run-1@here", "run")
        await worker_registry.take(app, following, stale_seconds=STALE, beat_seconds=BEAT)
        assert await worker_registry.publish_record(app, following)
        # The last one finds its slot taken when it comes back after all, and cannot leave it any more.
        assert not await worker_registry.publish_record(app, state)
        await worker_registry.leave(app, state)

    in_loop(queues, die_and_come_back)
    assert job_status(queues, "r1") == "todo"
    assert [worker.pid for worker in read_pool(queues, stale_seconds=8).workers] == [os.getpid()]


def test_of_two_processes_that_take_a_slot_at_once_one_gets_it(queues: str) -> None:
    async def take_twice(app: procrastinate.App) -> list[Any]:
        states = [WorkerRecord("run-1@here", "run") for _ in range(2)]
        takes = [worker_registry.take(app, state, stale_seconds=STALE, beat_seconds=BEAT) for state in states]
        return await asyncio.gather(*takes, return_exceptions=True)

    answers = in_loop(queues, take_twice)
    assert sorted(type(answer).__name__ for answer in answers) == ["NoneType", "StackError"]


def test_the_jobs_of_a_silent_worker_are_given_back_and_those_of_a_living_one_and_ones_own_are_not(queues: str) -> None:
    for run in ("r1", "r2", "r3"):
        queue_run(queues, run)

    async def watch(app: procrastinate.App) -> None:
        dead, alive, own = [await app.job_manager.register_worker() for _ in range(3)]
        for worker in (dead, alive, own):
            assert await app.job_manager.fetch_job([RUNS_QUEUE], worker) is not None
        living = WorkerRecord("run-2@here", "run", worker_id=alive)
        reaper = worker_registry.OrphanReaper(app, stale_seconds=STALE, beat_seconds=BEAT)
        while job_status(queues, "r1") != "todo":
            await worker_registry.publish_record(app, living)
            await reaper.reap(own)
            await asyncio.sleep(BEAT / 2)

    in_loop(queues, watch)
    assert (job_status(queues, "r2"), job_status(queues, "r3")) == ("doing", "doing")


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_takes_no_work_away(queues: str, hours: int) -> None:
    queue_run(queues, "r1")

    async def watch(app: procrastinate.App) -> None:
        living = WorkerRecord("run-1@far", "run", identity=ELSEWHERE)
        living.worker_id = await app.job_manager.register_worker()
        await app.job_manager.fetch_job([RUNS_QUEUE], living.worker_id)
        reaper = worker_registry.OrphanReaper(app, stale_seconds=STALE, beat_seconds=BEAT)
        for number in range(12):
            if number == 4:
                step_clock(queues, seconds=hours * 3600)
            await worker_registry.publish_record(app, living)
            await reaper.reap(None)
            await asyncio.sleep(BEAT / 2)

    in_loop(queues, watch)
    assert job_status(queues, "r1") == "doing"


def test_a_job_that_was_given_back_can_be_taken_at_once_whatever_the_clocks_say(queues: str) -> None:
    queue_run(queues, "r1")

    async def give_back_and_take(app: procrastinate.App) -> Any:
        worker = await app.job_manager.register_worker()
        job = await app.job_manager.fetch_job([RUNS_QUEUE], worker)
        assert job is not None
        assert job.id is not None
        await worker_registry.requeue_job(app, job.id, worker, job.attempts)
        return await app.connector.execute_query_one_async("SELECT scheduled_at FROM procrastinate_jobs")

    assert in_loop(queues, give_back_and_take) == {"scheduled_at": None}


def test_a_worker_that_was_heard_since_the_look_keeps_its_job(queues: str) -> None:
    queue_run(queues, "r1")

    async def give_back_too_late(app: procrastinate.App) -> None:
        state = WorkerRecord("run-1@here", "run", worker_id=await app.job_manager.register_worker())
        assert state.worker_id is not None
        job = await app.job_manager.fetch_job([RUNS_QUEUE], state.worker_id)
        assert job is not None
        assert job.id is not None
        for _ in range(2):
            await worker_registry.publish_record(app, state)
        await worker_registry.requeue_job(app, job.id, state.worker_id, job.attempts, beat="1")

    in_loop(queues, give_back_too_late)
    assert job_status(queues, "r1") == "doing"


def test_a_job_that_no_answer_told_of_is_given_back_at_the_second_look(queues: str) -> None:
    queue_run(queues, "r1")

    async def look_twice(app: procrastinate.App) -> None:
        worker, held = await app.job_manager.register_worker(), HeldJobs()
        await app.job_manager.fetch_job([RUNS_QUEUE], worker)
        await held.reconcile(app, worker)
        assert job_status(queues, "r1") == "doing"
        await held.reconcile(app, worker)

    in_loop(queues, look_twice)
    assert job_status(queues, "r1") == "todo"


def test_a_job_whose_task_never_began_is_given_back_and_leaves_the_hands_free(queues: str) -> None:
    queue_run(queues, "r1")

    async def look_twice(app: procrastinate.App) -> int:
        worker, held = await app.job_manager.register_worker(), HeldJobs()
        manager = LeasingJobManager(app, held, may_take=lambda: True, is_over=lambda: False)
        assert await manager.fetch_job([RUNS_QUEUE], worker) is not None
        assert len(held) == 1
        for _ in range(2):
            await held.reconcile(app, worker)
        return len(held)

    assert in_loop(queues, look_twice) == 0
    assert job_status(queues, "r1") == "todo"


def test_a_job_in_hand_is_never_given_back(queues: str) -> None:
    queue_run(queues, "r1")

    async def look_often(app: procrastinate.App) -> None:
        worker, held = await app.job_manager.register_worker(), HeldJobs()
        manager = LeasingJobManager(app, held, may_take=lambda: True, is_over=lambda: False)
        assert await manager.fetch_job([RUNS_QUEUE], worker) is not None
        (holding,) = held.jobs.values()
        holding.task = asyncio.current_task()
        for _ in range(3):
            assert await held.reconcile(app, worker) == []

    in_loop(queues, look_often)
    assert job_status(queues, "r1") == "doing"


def test_a_database_that_does_not_answer_is_said_without_its_password() -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        read_pool("postgresql://someone:secret-word@127.0.0.1:1/nothing", stale_seconds=8)
    assert "secret-word" not in str(caught.value)


def reader() -> PoolReader:
    return PoolReader(stale_seconds=STALE, beat_seconds=BEAT)


async def beat(app: procrastinate.App, state: WorkerRecord) -> None:
    while True:
        await worker_registry.publish_record(app, state)
        await asyncio.sleep(BEAT)


def in_loop(url: str, steps: Any) -> Any:
    async def run() -> Any:
        async with worker_app(url).open_async() as app:
            return await steps(app)

    return asyncio.run(run())


def publish(url: str, state: WorkerRecord) -> None:
    in_loop(url, lambda app: worker_registry.publish_record(app, state))


def step_clock(url: str, *, seconds: float) -> None:
    """Set the database's clock forward, as far as those can see who look at what it wrote before."""
    with psycopg.connect(url) as connection:
        for table, column in (("transcription_workers", "seen_at"), ("procrastinate_workers", "last_heartbeat")):
            connection.execute(
                sql.SQL("UPDATE {} SET {column} = {column} - make_interval(secs => %s)").format(
                    sql.Identifier(table), column=sql.Identifier(column)
                ),
                (seconds,),
            )


def queue_run(url: str, run_id: str) -> None:
    with open_connection(url) as connection:
        task = jobs.configure_task(
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
