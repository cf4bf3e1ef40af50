"""A request to a GPU executor, from both ends: what is asked once is done once, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import procrastinate
import pytest
from psycopg import sql

from transcription_dagster.errors import (
    DeviceBroken,
    ExecutorLost,
    TranscriptionAborted,
    TransientError,
    UnusableAudio,
    WorkerUnfit,
)
from transcription_dagster.pool import inference_server
from transcription_dagster.pool.inference_client import (
    InferenceClient,
    InferenceRequest,
    cancel_requests_of_run,
    release_answers,
    request_key,
)
from transcription_dagster.pool.inference_server import Attempt
from transcription_dagster.pool.leases import Lease
from transcription_dagster.pool.names import GPU_QUEUE, TRANSCRIBE_TASK
from transcription_dagster.pool.queue import open_connection, worker_app
from transcription_dagster.pool.worker_registry import requeue_job

RECORDING = "7f0c2b52-9d3b-4f0e-8a53-3b6f0a3f4f11"


def a_request(key: str = "one", run_id: str = "run-1") -> InferenceRequest:
    return InferenceRequest(
        key=key, task=TRANSCRIBE_TASK, recording=RECORDING, run_id=run_id, queue=GPU_QUEUE, request={"of": key}
    )


def on_executor(url: str, steps: Callable[[procrastinate.App], Coroutine[Any, Any, Any]]) -> Any:
    """Run `steps` as an executor does, in an event loop with the workers' application."""

    async def run() -> Any:
        async with worker_app(url).open_async() as app:
            return await steps(app)

    return asyncio.run(run())


async def take(app: procrastinate.App) -> Lease:
    """Take a job off the queue as an executor that has just started; the last one's is given back."""
    await app.connector.execute_query_async(
        "UPDATE procrastinate_jobs j SET status = 'succeeded' FROM inference_requests s"
        " WHERE s.key = j.args->>'key' AND j.status = 'doing' AND s.state IN ('done', 'failed')"
    )
    busy = await app.connector.execute_query_all_async(
        "SELECT id, worker_id, attempts FROM procrastinate_jobs WHERE status = 'doing'"
    )
    for row in busy:
        await requeue_job(app, row["id"], row["worker_id"], row["attempts"])
    worker = await app.job_manager.register_worker()
    job = await app.job_manager.fetch_job([GPU_QUEUE], worker)
    assert job is not None
    assert job.id is not None
    return Lease(job.id, worker, job.attempts)


async def begin(app: procrastinate.App, executor: str = "gpu-0") -> Attempt | None:
    """Take the job that waits and begin an attempt at it."""
    lease = await take(app)
    row = await app.connector.execute_query_one_async(
        "SELECT args->>'key' AS key FROM procrastinate_jobs WHERE id = %(id)s", id=lease.job_id
    )
    return await inference_server.begin(app, row["key"], lease, executor=executor)


async def begun(app: procrastinate.App, executor: str = "gpu-0") -> Attempt:
    attempt = await begin(app, executor)
    assert attempt is not None
    return attempt


def jobs(url: str) -> list[dict[str, Any]]:
    with open_connection(url) as connection:
        return list(connection.execute("SELECT queue_name, status::text, args FROM procrastinate_jobs ORDER BY id"))


def test_asking_puts_one_job_on_the_queue_however_often_it_is_asked(queues: str) -> None:
    client = InferenceClient(queues)
    for _ in range(3):
        client.ask(a_request())
    assert jobs(queues) == [{"queue_name": "gpu", "status": "todo", "args": {"key": "one"}}]


def test_an_answer_reaches_the_one_who_waits_for_it(queues: str) -> None:
    client, told = InferenceClient(queues), threading.Event()
    client.ask(a_request())

    async def answer(app: procrastinate.App) -> None:
        attempt = await begun(app)
        assert attempt.request == {"of": "one"}
        await inference_server.answer(app, attempt, {"transcript": "good morning"})

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(client.wait, a_request(), on_event=lambda _line: told.set())
        on_executor(queues, answer)
        answered = waiting.result(30)
    assert answered.result == {"transcript": "good morning"}
    assert [attempt["executor"] for attempt in answered.attempts] == ["gpu-0"]
    assert told.is_set()


def test_a_finished_request_is_answered_from_the_database_and_queues_nothing(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())
    on_executor(queues, finish("one", {"n": 1}))
    with open_connection(queues) as connection:
        connection.execute("DELETE FROM procrastinate_jobs")
    client.ask(a_request())
    assert jobs(queues) == []
    assert client.wait(a_request(), on_event=print).result == {"n": 1}


def test_the_answers_of_a_run_that_succeeded_are_released_and_asked_for_anew_by_the_next(queues: str) -> None:
    client = InferenceClient(queues)
    for key, run_id in (("one", "run-1"), ("two", "run-2")):
        client.ask(a_request(key, run_id))
        on_executor(queues, finish(key, {"n": 1}))
    release_answers(queues, "run-1")
    with open_connection(queues) as connection:
        rows = connection.execute("SELECT result, request, attempts FROM inference_requests ORDER BY key").fetchall()
        connection.execute("DELETE FROM procrastinate_jobs")
    assert [(row["result"], row["request"]) for row in rows] == [(None, {}), ({"n": 1}, {"of": "two"})]
    assert [len(row["attempts"]) for row in rows] == [1, 1]
    with pytest.raises(TransientError, match="released"):
        client.wait(a_request(), on_event=print)
    client.ask(a_request())
    assert [job["args"] for job in jobs(queues)] == [{"key": "one"}]
    on_executor(queues, finish("one", {"n": 2}))
    assert client.wait(a_request(), on_event=print).result == {"n": 2}


def test_a_failure_is_raised_as_the_class_that_the_executor_reported(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def fail(app: procrastinate.App) -> None:
        await inference_server.fail(app, await begun(app), UnusableAudio("the file is empty"))

    on_executor(queues, fail)
    with pytest.raises(UnusableAudio, match="the file is empty"):
        client.wait(a_request(), on_event=print)


def test_a_request_that_failed_can_be_asked_again(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def fail(app: procrastinate.App) -> None:
        await inference_server.fail(app, await begun(app), TransientError("not now"))

    on_executor(queues, fail)
    client.ask(a_request())
    on_executor(queues, finish("one", {"n": 2}))
    assert client.wait(a_request(), on_event=print).result == {"n": 2}


def test_the_third_executor_to_die_ends_the_request_with_the_history_of_its_attempts(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def die_three_times(app: procrastinate.App) -> Any:
        for number in range(3):
            assert await begin(app, f"gpu-{number}") is not None
        return await begin(app, "gpu-3")

    assert on_executor(queues, die_three_times) is None
    with pytest.raises(ExecutorLost, match=r"gpu-0 .*gpu-1 .*gpu-2 "):
        client.wait(a_request(), on_event=print)


def test_a_device_that_was_broken_counts_as_an_executor_that_died(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def break_three(app: procrastinate.App) -> Any:
        for number in range(3):
            attempt = await begun(app, f"gpu-{number}")
            assert attempt.lost == number
            await inference_server.device_broke(app, attempt, DeviceBroken("a CUDA assertion"))
        return await begin(app, "gpu-3")

    assert on_executor(queues, break_three) is None
    with pytest.raises(ExecutorLost, match=r"3 executors were lost .*gpu-0 .*the device broke: a CUDA assertion"):
        client.wait(a_request(), on_event=print)


def test_three_executors_that_cannot_work_end_the_request_for_now_and_cost_nobody(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def none_can_work(app: procrastinate.App) -> Any:
        for number in range(3):
            attempt = await begun(app, f"gpu-{number}")
            assert attempt.lost == 0
            await inference_server.executor_unfit(app, attempt, WorkerUnfit("No space left on device"))
        return await begin(app, "gpu-3")

    assert on_executor(queues, none_can_work) is None
    with pytest.raises(WorkerUnfit, match=r"gpu-0 .*: the executor cannot work: No space left on device; gpu-1 "):
        client.wait(a_request(), on_event=print)


def test_the_run_is_told_at_once_why_an_executor_gave_its_request_back(queues: str) -> None:
    client, lines = InferenceClient(queues), list[str]()
    client.ask(a_request())
    unfit, answered = threading.Event(), threading.Event()

    def note(line: str) -> None:
        lines.append(line)
        if "cannot work" in line:
            unfit.set()

    async def one_cannot_and_another_can(app: procrastinate.App) -> None:
        await inference_server.executor_unfit(app, await begun(app, "gpu-0"), WorkerUnfit("the disk is full"))
        assert await asyncio.to_thread(unfit.wait, 30)
        await inference_server.answer(app, await begun(app, "gpu-1"), {})
        answered.set()

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(client.wait, a_request(), on_event=note)
        on_executor(queues, one_cannot_and_another_can)
        waiting.result(30)
    assert lines[:2] == [
        "Attempt 1 begins on gpu-0.",
        "Attempt 1 on gpu-0: the executor cannot work: the disk is full.",
    ]


def test_what_an_executor_reports_after_its_work_went_to_another_is_refused(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def come_back_late(app: procrastinate.App) -> dict[str, Any]:
        late = await begun(app, "gpu-0")
        other = await begun(app, "gpu-1")
        await inference_server.report_progress(app, late, 0.9)
        assert not await inference_server.answer(app, late, {"said by": "gpu-0"})
        await inference_server.fail(app, late, UnusableAudio("gpu-0 says so"))
        await inference_server.requeue_attempt(app, late, reason="gpu-0 was stopped")
        row = await app.connector.execute_query_one_async("SELECT state, progress FROM inference_requests")
        assert await inference_server.answer(app, other, {"said by": "gpu-1"})
        return row

    assert on_executor(queues, come_back_late) == {"state": "doing", "progress": 0.0}
    answer = client.wait(a_request(), on_event=print)
    assert answer.result == {"said by": "gpu-1"}
    assert [attempt["ended"] for attempt in answer.attempts] == ["the executor was lost", "done"]


def test_an_executor_whose_job_was_taken_before_it_began_begins_nothing(queues: str) -> None:
    InferenceClient(queues).ask(a_request())

    async def begin_late(app: procrastinate.App) -> Any:
        late = await take(app)
        other = await begun(app, "gpu-1")
        assert await inference_server.begin(app, "one", late, executor="gpu-0") is None
        return await inference_server.answer(app, other, {"n": 1})

    assert on_executor(queues, begin_late) is True


def test_an_attempt_at_what_was_asked_before_counts_for_nothing_when_it_is_asked_afresh(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def answer_the_old(app: procrastinate.App) -> None:
        old = await begun(app)
        await inference_server.fail(app, old, TransientError("not now"))
        await asyncio.to_thread(client.ask, a_request())
        new = await begun(app, "gpu-1")
        assert not await inference_server.answer(app, old, {"n": "old"})
        assert await inference_server.answer(app, new, {"n": "new"})

    on_executor(queues, answer_the_old)
    assert client.wait(a_request(), on_event=print).result == {"n": "new"}


def test_an_executor_that_was_stopped_does_not_count_as_one_that_died(queues: str) -> None:
    InferenceClient(queues).ask(a_request())

    async def stop_often(app: procrastinate.App) -> Any:
        for number in range(5):
            attempt = await begun(app, f"gpu-{number}")
            await inference_server.requeue_attempt(app, attempt, reason="the executor was stopped")
        return await begin(app, "gpu-5")

    assert on_executor(queues, stop_often) is not None


def test_a_job_that_was_lost_with_a_crash_is_queued_again_by_the_next_who_asks(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())
    with open_connection(queues) as connection:
        connection.execute("DELETE FROM procrastinate_jobs")
    client.ask(a_request())
    assert len(jobs(queues)) == 1


def test_withdrawing_a_run_takes_its_requests_off_the_queue(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request("one", run_id="run-1"))
    lease = on_executor(queues, take)
    with open_connection(queues) as connection:
        connection.execute("UPDATE procrastinate_jobs SET status = 'todo'")
    client.ask(a_request("two", run_id="run-2"))
    assert cancel_requests_of_run(queues, "run-1") == 1
    assert [(job["args"]["key"], job["status"]) for job in jobs(queues)] == [("one", "cancelled"), ("two", "todo")]
    with pytest.raises(TranscriptionAborted):
        client.wait(a_request("one"), on_event=print)

    with open_connection(queues) as connection:
        connection.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE args->>'key' = 'one'")
    begin_late = on_executor(queues, lambda app: inference_server.begin(app, "one", lease, executor="gpu-0"))
    assert begin_late is None


def test_a_server_that_takes_no_writes_for_a_moment_is_waited_for(queues: str) -> None:
    client = InferenceClient(queues)
    read_only(queues, "on")
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(client.ask, a_request())
        with pytest.raises(TimeoutError):
            asking.result(0.5)
        assert jobs(queues) == []
        read_only(queues, "off")
        asking.result(30)
    assert len(jobs(queues)) == 1


def read_only(url: str, value: str) -> None:
    """Let the database take no writes on the connections that are opened from now on."""
    with open_connection(url) as connection:
        connection.execute("SET default_transaction_read_only = off")
        name = connection.info.dbname
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}").format(
                sql.Identifier(name), sql.Literal(value)
            )
        )


def test_the_key_is_the_same_for_the_same_work_and_for_no_other() -> None:
    work = {"run_id": "r", "recording": "u", "options": {"model": "medium", "beam_size": None}}
    assert request_key(**work) == request_key(**dict(reversed(work.items())))
    assert request_key(**work) != request_key(**{**work, "options": {"model": "large-v3", "beam_size": None}})


def finish(key: str, result: dict[str, Any]) -> Callable[[procrastinate.App], Coroutine[Any, Any, None]]:
    async def steps(app: procrastinate.App) -> None:
        attempt = await begun(app)
        assert attempt.key == key
        await inference_server.answer(app, attempt, result)

    return steps
