"""The executors' client: repeated requests are computed once, and every answer and failure reaches it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg import sql

from transcription_dagster.errors import (
    TranscriptionAborted,
    TranscriptionError,
    TransientError,
    UnusableAudio,
)
from transcription_dagster.pool.connection import open_connection
from transcription_dagster.pool.inference_client import InferenceClient, cancel_requests_of_run, release_answers
from transcription_dagster.pool.inference_requests import request_key
from transcription_dagster_tests.pool.executors import (
    Executors,
    a_request,
    fail,
    finish,
    on_executors,
    requests,
)


def test_repeated_asks_queue_one_request(queues: str) -> None:
    client = InferenceClient(queues)
    for _ in range(3):
        client.ask(a_request())
    assert requests(queues) == [{"key": "one", "queue": "gpu", "state": "queued"}]


def test_an_answer_reaches_the_waiting_client(queues: str) -> None:
    client, reported = InferenceClient(queues), threading.Event()
    client.ask(a_request())

    async def answer(executors: Executors) -> None:
        queue, claim = await executors.begin()
        assert claim.request == {"of": "one"}
        await queue.finish(claim, {"transcript": "good morning"})

    with ThreadPoolExecutor() as threads:
        pending = threads.submit(client.wait, a_request(), on_event=lambda _line: reported.set())
        on_executors(queues, answer)
        answered = pending.result(30)
    assert answered.result == {"transcript": "good morning"}
    assert [attempt["executor"] for attempt in answered.attempts] == ["gpu-0"]
    assert reported.is_set()


def test_a_finished_request_is_answered_from_the_database_and_queues_nothing(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())
    on_executors(queues, finish("one", {"n": 1}))
    client.ask(a_request())
    assert [request["state"] for request in requests(queues)] == ["done"]
    assert client.wait(a_request(), on_event=print).result == {"n": 1}


def test_answers_of_a_successful_run_are_released_and_computed_again(queues: str) -> None:
    client = InferenceClient(queues)
    for key, run_id in (("one", "run-1"), ("two", "run-2")):
        client.ask(a_request(key, run_id))
        on_executors(queues, finish(key, {"n": 1}))
    release_answers(queues, "run-1")
    with open_connection(queues) as connection:
        rows = connection.execute("SELECT result, request, attempts FROM inference_requests ORDER BY key").fetchall()
    assert [(row["result"], row["request"]) for row in rows] == [(None, {}), ({"n": 1}, {"of": "two"})]
    assert [len(row["attempts"]) for row in rows] == [1, 1]
    with pytest.raises(TransientError, match="released"):
        client.wait(a_request(), on_event=print)
    client.ask(a_request())
    on_executors(queues, finish("one", {"n": 2}))
    assert client.wait(a_request(), on_event=print).result == {"n": 2}


def test_a_failure_is_raised_as_the_class_that_the_executor_reported(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())
    on_executors(queues, fail(UnusableAudio("the file is empty")))
    with pytest.raises(UnusableAudio, match="the file is empty"):
        client.wait(a_request(), on_event=print)


def test_an_unexpected_error_fails_the_request_with_its_message(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())
    on_executors(queues, fail(KeyError("speech")))
    with pytest.raises(TranscriptionError, match=r"the executor raised an unexpected KeyError\('speech'\)"):
        client.wait(a_request(), on_event=print)


def test_a_failed_request_can_be_repeated(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())
    on_executors(queues, fail(TransientError("not now")))
    client.ask(a_request())
    on_executors(queues, finish("one", {"n": 2}))
    assert client.wait(a_request(), on_event=print).result == {"n": 2}


def test_canceling_a_run_keeps_its_answers(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())
    on_executors(queues, finish("one", {"n": 1}))
    assert cancel_requests_of_run(queues, "run-1") == 0
    assert client.wait(a_request(), on_event=print).result == {"n": 1}


def test_canceling_a_run_cancels_only_its_requests(queues: str) -> None:
    client = InferenceClient(queues)

    async def cancel_at_work(executors: Executors) -> list[bool]:
        client.ask(a_request("one", run_id="run-1"))
        queue, claim = await executors.begin()
        client.ask(a_request("two", run_id="run-1"))
        client.ask(a_request("three", run_id="run-2"))
        leased = [claim.lease in await queue.leases()]
        assert await asyncio.to_thread(cancel_requests_of_run, queues, "run-1") == 2
        leased.append(claim.lease in await queue.leases())
        await queue.finish(claim, {"n": 1})
        return leased

    assert on_executors(queues, cancel_at_work) == [True, False]
    states = {request["key"]: request["state"] for request in requests(queues)}
    assert states == {"one": "failed", "two": "failed", "three": "queued"}
    lines = list[str]()
    with pytest.raises(TranscriptionAborted):
        client.wait(a_request("one"), on_event=lines.append)
    assert lines == ["Attempt 1 begins on gpu-0.", "Attempt 1 on gpu-0: withdrawn."]


def test_a_temporarily_read_only_server_is_waited_for(queues: str) -> None:
    client = InferenceClient(queues)
    read_only(queues, "on")
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(client.ask, a_request())
        with pytest.raises(TimeoutError):
            asking.result(0.5)
        assert requests(queues) == []
        read_only(queues, "off")
        asking.result(30)
    assert len(requests(queues)) == 1


def read_only(url: str, value: str) -> None:
    """Make connections that are opened from now on read-only."""
    with open_connection(url) as connection:
        connection.execute("SET default_transaction_read_only = off")
        name = connection.info.dbname
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}").format(
                sql.Identifier(name), sql.Literal(value)
            )
        )


def test_the_key_identifies_the_work() -> None:
    work = {"run_id": "r", "recording": "u", "options": {"model": "medium", "beam_size": None}}
    assert request_key(**work) == request_key(**dict(reversed(work.items())))
    assert request_key(**work) != request_key(**{**work, "options": {"model": "large-v3", "beam_size": None}})
