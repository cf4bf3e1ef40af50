"""Deletion of old data by the run workers, by exactly one of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from transcription_dagster.pool.connection import job_app, open_connection, worker_connector
from transcription_dagster.pool.run_queue import HOUSEKEEPING_QUEUE, RUNS_QUEUE, JobClaim, RunQueue
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.settings import Settings
from transcription_dagster.workers.housekeeping import (
    PRUNE_HISTORY_TASK,
    PRUNE_QUEUES_TASK,
    prune_queues,
    register_housekeeping,
)
from transcription_dagster.workers.pool_worker import PoolWorker
from transcription_dagster_tests.postgres import cloned_database
from transcription_dagster_tests.system import wait_until
from transcription_dagster_tests.workers.in_process import at_work

HOUR = 3600


@pytest.fixture
def queues() -> Iterator[str]:
    with cloned_database() as url:
        yield url


def prune(url: str) -> None:
    async def run() -> None:
        connector = worker_connector(url)
        await connector.open_async()
        try:
            await prune_queues(connector)
        finally:
            await connector.close_async()

    asyncio.run(run())


def rows(url: str, statement: str) -> list[Any]:
    with open_connection(url) as connection:
        return [next(iter(row.values())) for row in connection.execute(statement)]  # type: ignore[arg-type]


def add_job(url: str, status: str, *, hours_ago: float) -> None:
    with open_connection(url) as connection:
        job = job_app.configure_task(status, allow_unknown=True, queue=RUNS_QUEUE, connection=connection).defer()
        connection.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", (job,))
        connection.execute(
            "UPDATE procrastinate_jobs SET status = %s::procrastinate_job_status WHERE id = %s", (status, job)
        )
        connection.execute(
            "UPDATE procrastinate_events SET at = at - make_interval(secs => %s) WHERE job_id = %s",
            (hours_ago * HOUR, job),
        )


def test_old_jobs_are_deleted_with_their_events(queues: str) -> None:
    for status in ("succeeded", "failed", "cancelled", "aborted", "todo", "doing"):
        add_job(queues, status, hours_ago=25)
        add_job(queues, status, hours_ago=23)
    prune(queues)
    remaining = rows(queues, "SELECT task_name FROM procrastinate_jobs ORDER BY id")
    assert sorted(remaining) == sorted(["succeeded", "failed", "cancelled", "aborted", *["todo", "doing"] * 2])
    assert rows(queues, "SELECT DISTINCT job_id FROM procrastinate_events ORDER BY 1") == rows(
        queues, "SELECT id FROM procrastinate_jobs ORDER BY 1"
    )


def test_answers_are_kept_for_a_week_and_unfinished_requests_indefinitely(queues: str) -> None:
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


@pytest.mark.parametrize(
    ("hour", "minute", "due", "becomes"),
    [
        (15, 8, PRUNE_QUEUES_TASK, "succeeded"),
        # Without Dagster's tables the task fails, which shows that it ran.
        (3, 38, PRUNE_HISTORY_TASK, "failed"),
    ],
)
def test_each_periodic_task_runs_once_when_due(queues: str, hour: int, minute: int, due: str, becomes: str) -> None:
    add_job(queues, "succeeded", hours_ago=25)
    moment = time.time() // (24 * HOUR) * 24 * HOUR + hour * HOUR + minute * 60
    workers = [run_worker(queues, number) for number in range(3)]

    async def meet() -> None:
        for _, queue in workers:
            await queue.open()
            await queue.periodic.defer_jobs(queue.periodic.get_previous_tasks(at=moment))
            await queue.connector.close_async()

    asyncio.run(meet())
    assert rows(queues, "SELECT task_name FROM procrastinate_jobs WHERE status = 'todo'") == [due]
    pool, queue = run_worker(queues, 3)
    # Tasks that are due by this machine's real clock are not queued too.
    queue.periodic.registry.periodic_tasks.clear()
    finished = (
        "SELECT status::text FROM procrastinate_jobs WHERE task_name LIKE 'prune%' AND status NOT IN ('todo', 'doing')"
    )
    with at_work(pool):
        wait_until(lambda: rows(queues, finished), 120, "the task is done", every=0.05)
    assert rows(queues, finished) == [becomes]
    pruned = [] if due == PRUNE_QUEUES_TASK else ["succeeded"]
    assert rows(queues, "SELECT task_name FROM procrastinate_jobs WHERE task_name NOT LIKE 'prune%'") == pruned


def run_worker(url: str, number: int) -> tuple[PoolWorker[JobClaim], RunQueue]:
    settings = Settings(run_history_days=30)
    state = WorkerRecord(f"run-{number}", "run")
    queue = RunQueue(url, state, [HOUSEKEEPING_QUEUE])
    pool = PoolWorker(settings, state, queue)
    register_housekeeping(pool, queue, settings, url)
    return pool, queue
