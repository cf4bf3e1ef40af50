"""What the run workers remove from the queues, and that one of them does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from procrastinate.periodic import PeriodicDeferrer
from procrastinate.worker import Worker

from transcription_dagster.pool.names import HOUSEKEEPING_QUEUE, PRUNE_HISTORY_TASK, PRUNE_QUEUES_TASK, RUNS_QUEUE
from transcription_dagster.pool.queue import jobs, open_connection, worker_app
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.settings import Settings
from transcription_dagster.workers.housekeeping import prune_queues, register_housekeeping
from transcription_dagster.workers.pool_worker import PoolWorker
from transcription_dagster_tests.postgres import cloned_database

HOUR = 3600


@pytest.fixture
def queues() -> Iterator[str]:
    with cloned_database() as url:
        yield url


def prune(url: str) -> None:
    async def run() -> None:
        async with worker_app(url).open_async() as app:
            await prune_queues(app)

    asyncio.run(run())


def rows(url: str, statement: str) -> list[Any]:
    with open_connection(url) as connection:
        return [next(iter(row.values())) for row in connection.execute(statement)]  # type: ignore[arg-type]


def add_job(url: str, status: str, *, hours_ago: float) -> None:
    with open_connection(url) as connection:
        job = jobs.configure_task(status, allow_unknown=True, queue=RUNS_QUEUE, connection=connection).defer()
        connection.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", (job,))
        connection.execute(
            "UPDATE procrastinate_jobs SET status = %s::procrastinate_job_status WHERE id = %s", (status, job)
        )
        connection.execute(
            "UPDATE procrastinate_events SET at = at - make_interval(secs => %s) WHERE job_id = %s",
            (hours_ago * HOUR, job),
        )


def test_jobs_that_ended_a_day_ago_go_with_their_events(queues: str) -> None:
    for status in ("succeeded", "failed", "cancelled", "aborted", "todo", "doing"):
        add_job(queues, status, hours_ago=25)
        add_job(queues, status, hours_ago=23)
    prune(queues)
    left = rows(queues, "SELECT task_name FROM procrastinate_jobs ORDER BY id")
    assert sorted(left) == sorted(["succeeded", "failed", "cancelled", "aborted", *["todo", "doing"] * 2])
    assert rows(queues, "SELECT DISTINCT job_id FROM procrastinate_events ORDER BY 1") == rows(
        queues, "SELECT id FROM procrastinate_jobs ORDER BY 1"
    )


def test_an_answer_is_kept_for_a_week_and_a_request_under_way_as_long_as_it_takes(queues: str) -> None:
    with open_connection(queues) as connection:
        for key, state, finished_days_ago in (
            ("last week's", "done", 7.1),
            ("this week's", "done", 6.9),
            ("failed", "failed", 7.1),
            ("waiting", "queued", None),
        ):
            connection.execute(
                "INSERT INTO inference_requests (key, task, recording, run_id, queue, request, state, created_at,"
                " finished_at) VALUES (%s, 'transcribe', 'r', 'run', 'gpu', '{}', %s, now() - interval '9 days',"
                " now() - make_interval(secs => %s))",
                (key, state, finished_days_ago and finished_days_ago * 24 * HOUR),
            )
    prune(queues)
    assert rows(queues, "SELECT key FROM inference_requests ORDER BY key") == ["this week's", "waiting"]


def test_whatever_the_number_of_workers_each_task_is_done_once_when_it_is_due(queues: str) -> None:
    add_job(queues, "succeeded", hours_ago=25)
    pools = [PoolWorker(Settings(), queues, WorkerRecord(f"run-{n}", "run"), [HOUSEKEEPING_QUEUE]) for n in range(3)]

    async def meet_at(moment: float) -> None:
        for pool in pools:
            async with pool.app.open_async():
                deferrer = PeriodicDeferrer(pool.app.periodic_registry)
                await deferrer.defer_jobs(deferrer.get_previous_tasks(at=moment))
        assert rows(queues, "SELECT task_name FROM procrastinate_jobs WHERE status = 'todo' ORDER BY 1") == due
        async with pools[0].app.open_async() as app:
            await Worker(app, queues=[HOUSEKEEPING_QUEUE], wait=False, install_signal_handlers=False).run()

    for pool in pools:
        register_housekeeping(pool, Settings(run_history_days=30), queues)
    midnight = time.time() // (24 * HOUR) * 24 * HOUR
    due = [PRUNE_QUEUES_TASK]
    asyncio.run(meet_at(midnight + 15 * HOUR + 8 * 60))
    assert rows(queues, "SELECT task_name FROM procrastinate_jobs ORDER BY id") == [PRUNE_QUEUES_TASK]
    due = [PRUNE_HISTORY_TASK]
    asyncio.run(meet_at(midnight + 3 * HOUR + 38 * 60))
    # Here are no tables of Dagster: that it failed shows that it was done.
    assert rows(queues, "SELECT task_name || ' ' || status FROM procrastinate_jobs ORDER BY id") == [
        f"{PRUNE_QUEUES_TASK} succeeded",
        f"{PRUNE_HISTORY_TASK} failed",
    ]
