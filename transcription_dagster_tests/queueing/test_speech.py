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

from transcription_dagster.errors import DeviceBroken, ExecutorLost, TranscriptionAborted, TransientError, UnusableAudio
from transcription_dagster.queueing import speech_server
from transcription_dagster.queueing.app import connect, worker_app
from transcription_dagster.queueing.names import GPU_QUEUE, TRANSCRIBE_TASK
from transcription_dagster.queueing.speech_client import (
    SpeechClient,
    SpeechRequest,
    release_answers,
    request_key,
    withdraw_run,
)


def a_request(key: str = "one", run_id: str = "run-1") -> SpeechRequest:
    return SpeechRequest(
        key=key, task=TRANSCRIBE_TASK, recording="a-recording", run_id=run_id, queue=GPU_QUEUE, request={"of": key}
    )


def on_executor(url: str, steps: Callable[[procrastinate.App], Coroutine[Any, Any, Any]]) -> Any:
    """Run `steps` as an executor does, in an event loop with the workers' application."""

    async def run() -> Any:
        async with worker_app(url).open_async() as app:
            return await steps(app)

    return asyncio.run(run())


def jobs(url: str) -> list[dict[str, Any]]:
    with connect(url) as connection:
        return list(connection.execute("SELECT queue_name, status::text, args FROM procrastinate_jobs ORDER BY id"))


def test_asking_puts_one_job_on_the_queue_however_often_it_is_asked(queues: str) -> None:
    client = SpeechClient(queues)
    for _ in range(3):
        client.ask(a_request())
    assert jobs(queues) == [{"queue_name": "gpu", "status": "todo", "args": {"key": "one"}}]


def test_an_answer_reaches_the_one_who_waits_for_it(queues: str) -> None:
    client, told = SpeechClient(queues), threading.Event()
    client.ask(a_request())

    async def answer(app: procrastinate.App) -> None:
        attempt = await speech_server.begin(app, "one", executor="gpu-0")
        assert attempt is not None
        assert attempt.request == {"of": "one"}
        await speech_server.answer(app, "one", {"transcript": "good morning"})

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(client.wait, a_request(), on_event=lambda _line: told.set())
        on_executor(queues, answer)
        answered = waiting.result(30)
    assert answered.result == {"transcript": "good morning"}
    assert [attempt["executor"] for attempt in answered.attempts] == ["gpu-0"]
    assert told.is_set()


def test_a_finished_request_is_answered_from_the_database_and_queues_nothing(queues: str) -> None:
    client = SpeechClient(queues)
    client.ask(a_request())
    on_executor(queues, finish("one", {"n": 1}))
    with connect(queues) as connection:
        connection.execute("DELETE FROM procrastinate_jobs")
    client.ask(a_request())
    assert jobs(queues) == []
    assert client.wait(a_request(), on_event=print).result == {"n": 1}


def test_the_answers_of_a_run_that_succeeded_are_released_and_asked_for_anew_by_the_next(queues: str) -> None:
    client = SpeechClient(queues)
    for key, run_id in (("one", "run-1"), ("two", "run-2")):
        client.ask(a_request(key, run_id))
        on_executor(queues, finish(key, {"n": 1}))
    release_answers(queues, "run-1")
    with connect(queues) as connection:
        rows = connection.execute("SELECT result, request, attempts FROM transcription_speech ORDER BY key").fetchall()
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
    client = SpeechClient(queues)
    client.ask(a_request())

    async def fail(app: procrastinate.App) -> None:
        await speech_server.begin(app, "one", executor="gpu-0")
        await speech_server.fail(app, "one", UnusableAudio("the file is empty"))

    on_executor(queues, fail)
    with pytest.raises(UnusableAudio, match="the file is empty"):
        client.wait(a_request(), on_event=print)


def test_a_request_that_failed_can_be_asked_again(queues: str) -> None:
    client = SpeechClient(queues)
    client.ask(a_request())

    async def fail(app: procrastinate.App) -> None:
        await speech_server.begin(app, "one", executor="gpu-0")
        await speech_server.fail(app, "one", TransientError("not now"))

    on_executor(queues, fail)
    client.ask(a_request())
    on_executor(queues, finish("one", {"n": 2}))
    assert client.wait(a_request(), on_event=print).result == {"n": 2}


def test_the_third_executor_to_die_ends_the_request_with_the_history_of_its_attempts(queues: str) -> None:
    client = SpeechClient(queues)
    client.ask(a_request())

    async def die_three_times(app: procrastinate.App) -> Any:
        for number in range(3):
            assert await speech_server.begin(app, "one", executor=f"gpu-{number}") is not None
        return await speech_server.begin(app, "one", executor="gpu-3")

    assert on_executor(queues, die_three_times) is None
    with pytest.raises(ExecutorLost, match=r"gpu-0 .*gpu-1 .*gpu-2 "):
        client.wait(a_request(), on_event=print)


def test_a_device_that_was_broken_counts_as_an_executor_that_died(queues: str) -> None:
    client = SpeechClient(queues)
    client.ask(a_request())

    async def break_three(app: procrastinate.App) -> Any:
        for number in range(3):
            attempt = await speech_server.begin(app, "one", executor=f"gpu-{number}")
            assert attempt is not None
            assert attempt.lost == number
            await speech_server.device_broke(app, "one", DeviceBroken("a CUDA assertion"))
        return await speech_server.begin(app, "one", executor="gpu-3")

    assert on_executor(queues, break_three) is None
    with pytest.raises(ExecutorLost, match=r"3 executors were lost .*gpu-0 .*the device broke: a CUDA assertion"):
        client.wait(a_request(), on_event=print)


def test_an_executor_that_was_stopped_does_not_count_as_one_that_died(queues: str) -> None:
    SpeechClient(queues).ask(a_request())

    async def stop_often(app: procrastinate.App) -> Any:
        for number in range(5):
            assert await speech_server.begin(app, "one", executor=f"gpu-{number}") is not None
            await speech_server.give_back(app, "one", reason="the executor was stopped")
        return await speech_server.begin(app, "one", executor="gpu-5")

    assert on_executor(queues, stop_often) is not None


def test_a_job_that_was_lost_with_a_crash_is_queued_again_by_the_next_who_asks(queues: str) -> None:
    client = SpeechClient(queues)
    client.ask(a_request())
    with connect(queues) as connection:
        connection.execute("DELETE FROM procrastinate_jobs")
    client.ask(a_request())
    assert len(jobs(queues)) == 1


def test_withdrawing_a_run_takes_its_requests_off_the_queue(queues: str) -> None:
    client = SpeechClient(queues)
    client.ask(a_request("one", run_id="run-1"))
    client.ask(a_request("two", run_id="run-2"))
    assert withdraw_run(queues, "run-1") == 1
    assert [(job["args"]["key"], job["status"]) for job in jobs(queues)] == [("one", "cancelled"), ("two", "todo")]
    with pytest.raises(TranscriptionAborted):
        client.wait(a_request("one"), on_event=print)

    async def begin(app: procrastinate.App) -> Any:
        return await speech_server.begin(app, "one", executor="gpu-0")

    assert on_executor(queues, begin) is None


def test_a_server_that_takes_no_writes_for_a_moment_is_waited_for(queues: str) -> None:
    client = SpeechClient(queues)
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
    with connect(url) as connection:
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
        assert await speech_server.begin(app, key, executor="gpu-0") is not None
        await speech_server.answer(app, key, result)

    return steps
