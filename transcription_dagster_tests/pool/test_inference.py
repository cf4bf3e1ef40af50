"""A request to a GPU executor, from both ends: what is asked once is done once, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest
from psycopg import sql

from transcription_dagster.errors import (
    ExecutorLost,
    TranscriptionAborted,
    TranscriptionError,
    TransientError,
    UnusableAudio,
    WorkerUnfit,
)
from transcription_dagster.pool.inference_client import (
    InferenceClient,
    InferenceRequest,
    cancel_requests_of_run,
    release_answers,
    request_key,
)
from transcription_dagster.pool.names import GPU_QUEUE, TRANSCRIBE_TASK, gpu_queue
from transcription_dagster.pool.queue import open_connection
from transcription_dagster.pool.request_queue import BROKE, UNFIT, RequestClaim, RequestQueue
from transcription_dagster.pool.worker_registry import WorkerRecord, publish_record
from transcription_dagster_tests.system import wait_until

RECORDING = "7f0c2b52-9d3b-4f0e-8a53-3b6f0a3f4f11"


def a_request(key: str = "one", run_id: str = "run-1", queue: str = GPU_QUEUE) -> InferenceRequest:
    return InferenceRequest(
        key=key, task=TRANSCRIBE_TASK, recording=RECORDING, run_id=run_id, queue=queue, request={"of": key}
    )


class Executors:
    """The queue's side of executor processes, by name; each has claimed what it was told to."""

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
        """Start an executor that claims the request that waits and begins an attempt at it."""
        queue = await self.start(name)
        claim = await queue.claim()
        assert claim is not None
        assert await queue.begin(claim)
        return queue, claim

    async def lose(self, queue: RequestQueue, claim: RequestClaim) -> None:
        """Have another executor take this one for dead."""
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


def test_asking_queues_one_request_however_often_it_is_asked(queues: str) -> None:
    client = InferenceClient(queues)
    for _ in range(3):
        client.ask(a_request())
    assert requests(queues) == [{"key": "one", "queue": "gpu", "state": "queued"}]


def test_an_answer_reaches_the_client_that_waits_for_it(queues: str) -> None:
    client, told = InferenceClient(queues), threading.Event()
    client.ask(a_request())

    async def answer(executors: Executors) -> None:
        queue, claim = await executors.begin()
        assert claim.request == {"of": "one"}
        await queue.finish(claim, {"transcript": "good morning"})

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(client.wait, a_request(), on_event=lambda _line: told.set())
        on_executors(queues, answer)
        answered = waiting.result(30)
    assert answered.result == {"transcript": "good morning"}
    assert [attempt["executor"] for attempt in answered.attempts] == ["gpu-0"]
    assert told.is_set()


def test_requests_are_claimed_in_order_each_by_one_executor_and_only_from_its_own_queues(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request("elsewhere", queue=gpu_queue("1")))
    for key in ("b", "a", "c", "d"):
        client.ask(a_request(key))

    async def claim_all(executors: Executors) -> list[str]:
        queues_of_gpu_0 = [GPU_QUEUE, gpu_queue("0")]
        several = [await executors.start(f"gpu-0-{number}", queues_of_gpu_0) for number in range(5)]
        first = await several[0].claim()
        assert first is not None
        assert first.lease.work == "b"
        claims = await asyncio.gather(*(queue.claim() for queue in several))
        return sorted(str(claim.lease.work) for claim in claims if claim is not None)

    assert on_executors(queues, claim_all) == ["a", "c", "d"]


def test_an_executor_hears_of_a_new_request(queues: str) -> None:
    async def hear(executors: Executors) -> str:
        queue, heard = await executors.start(), asyncio.get_running_loop().create_future()
        watching = asyncio.create_task(queue.watch(heard.set_result))
        with open_connection(queues) as connection:
            await asyncio.to_thread(until_listening, connection)
        await asyncio.to_thread(InferenceClient(queues).ask, a_request())
        async with asyncio.timeout(30):
            key = await heard
        watching.cancel()
        return key

    assert on_executors(queues, hear) == "one"


def test_a_finished_request_is_answered_from_the_database_and_queues_nothing(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())
    on_executors(queues, finish("one", {"n": 1}))
    client.ask(a_request())
    assert [request["state"] for request in requests(queues)] == ["done"]
    assert client.wait(a_request(), on_event=print).result == {"n": 1}


def test_the_answers_of_a_run_that_succeeded_are_released_and_asked_for_anew_by_the_next(queues: str) -> None:
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


def test_a_fault_of_the_program_fails_the_request_with_what_it_was(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())
    on_executors(queues, fail(KeyError("speech")))
    with pytest.raises(TranscriptionError, match=r"the executor raised an unexpected KeyError\('speech'\)"):
        client.wait(a_request(), on_event=print)


def test_a_request_that_failed_can_be_asked_again(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())
    on_executors(queues, fail(TransientError("not now")))
    client.ask(a_request())
    on_executors(queues, finish("one", {"n": 2}))
    assert client.wait(a_request(), on_event=print).result == {"n": 2}


def test_the_third_executor_to_die_ends_the_request_with_the_history_of_its_attempts(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def die_three_times(executors: Executors) -> Any:
        for number in range(3):
            queue, claim = await executors.begin(f"gpu-{number}")
            assert claim.lost == number
            await executors.lose(queue, claim)
        return await (await executors.start("gpu-3")).claim()

    assert on_executors(queues, die_three_times) is None
    with pytest.raises(ExecutorLost, match=r"3 executors were lost .*gpu-0 .*gpu-1 .*gpu-2 "):
        client.wait(a_request(), on_event=print)


def test_an_executor_that_dies_before_it_begins_costs_a_request_no_attempt(queues: str) -> None:
    InferenceClient(queues).ask(a_request())

    async def die_often(executors: Executors) -> int:
        for number in range(4):
            queue = await executors.start(f"gpu-{number}")
            claim = await queue.claim()
            assert claim is not None
            await executors.lose(queue, claim)
        _, claim = await executors.begin("gpu-4")
        return claim.lost

    assert on_executors(queues, die_often) == 0


def test_a_device_that_was_broken_counts_as_an_executor_that_died(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def break_three(executors: Executors) -> Any:
        for number in range(3):
            queue, claim = await executors.begin(f"gpu-{number}")
            assert claim.lost == number
            await queue.give_back(claim, f"{BROKE}: a CUDA assertion")
        return await (await executors.start("gpu-3")).claim()

    assert on_executors(queues, break_three) is None
    with pytest.raises(ExecutorLost, match=r"3 executors were lost .*gpu-0 .*the device broke: a CUDA assertion"):
        client.wait(a_request(), on_event=print)


def test_three_executors_that_cannot_work_end_the_request_for_now_and_count_none_as_lost(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def none_can_work(executors: Executors) -> Any:
        for number in range(3):
            queue, claim = await executors.begin(f"gpu-{number}")
            assert claim.lost == 0
            await queue.give_back(claim, f"{UNFIT}: No space left on device")
        return await (await executors.start("gpu-3")).claim()

    assert on_executors(queues, none_can_work) is None
    with pytest.raises(WorkerUnfit, match=r"gpu-0 .*: the executor cannot work: No space left on device; gpu-1 "):
        client.wait(a_request(), on_event=print)


def test_the_run_is_told_at_once_why_an_executor_gave_its_request_back(queues: str) -> None:
    client, lines = InferenceClient(queues), list[str]()
    client.ask(a_request())
    unfit = threading.Event()

    def note(line: str) -> None:
        lines.append(line)
        if "cannot work" in line:
            unfit.set()

    async def one_cannot_and_another_can(executors: Executors) -> None:
        queue, claim = await executors.begin("gpu-0")
        await queue.give_back(claim, f"{UNFIT}: the disk is full")
        assert await asyncio.to_thread(unfit.wait, 30)
        queue, claim = await executors.begin("gpu-1")
        await queue.finish(claim, {})

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(client.wait, a_request(), on_event=note)
        on_executors(queues, one_cannot_and_another_can)
        waiting.result(30)
    assert lines[:2] == [
        "Attempt 1 begins on gpu-0.",
        "Attempt 1 on gpu-0: the executor cannot work: the disk is full.",
    ]


def test_what_an_executor_reports_after_its_work_went_to_another_is_refused(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def come_back_late(executors: Executors) -> dict[str, Any]:
        queue, late = await executors.begin("gpu-0")
        await executors.lose(queue, late)
        other_queue, other = await executors.begin("gpu-1")
        await queue.report_progress(late, 0.9)
        await queue.finish(late, {"said by": "gpu-0"})
        await queue.fail(late, UnusableAudio("gpu-0 says so"))
        await queue.give_back(late, "gpu-0 was stopped")
        row = await queue.connector.execute_query_one_async("SELECT state, progress FROM inference_requests")
        await other_queue.finish(other, {"said by": "gpu-1"})
        return row

    assert on_executors(queues, come_back_late) == {"state": "doing", "progress": 0.0}
    answer = client.wait(a_request(), on_event=print)
    assert answer.result == {"said by": "gpu-1"}
    assert [attempt["ended"] for attempt in answer.attempts] == ["the executor was lost", "done"]


def test_an_executor_that_lost_a_request_and_claimed_it_again_reports_under_the_second_lease_alone(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def claim_twice(executors: Executors) -> None:
        queue, first = await executors.begin("gpu-0")
        await executors.lose(queue, first)
        second = await queue.claim()
        assert second is not None
        assert not await queue.begin(first)
        assert await queue.begin(second)
        assert list(await queue.leases()) == [second.lease]
        await queue.finish(first, {"n": 1})
        await queue.finish(second, {"n": 2})

    on_executors(queues, claim_twice)
    assert client.wait(a_request(), on_event=print).result == {"n": 2}


def test_an_attempt_that_is_begun_again_because_the_answer_was_lost_is_one_attempt(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def begin_twice(executors: Executors) -> None:
        queue, claim = await executors.begin()
        assert await queue.begin(claim)
        await queue.finish(claim, {})

    on_executors(queues, begin_twice)
    assert len(client.wait(a_request(), on_event=print).attempts) == 1


def test_an_executor_that_beat_since_it_was_observed_keeps_its_request(queues: str) -> None:
    InferenceClient(queues).ask(a_request())

    async def rescue_too_late(executors: Executors) -> list[Any]:
        state = WorkerRecord("gpu-0", "gpu")
        queue, other = await executors.start(state=state), await executors.start("gpu-1")
        claim = await queue.claim()
        assert claim is not None
        for _ in range(2):
            await publish_record(queue.connector, state)
        (seen,) = await other.foreign_leases()
        assert (seen.lease, seen.slot, seen.sign.beat) == (claim.lease, "gpu-0", "2")
        kept = []
        for beat in ("1", "2"):
            await other.rescue(claim.lease, beat=beat)
            kept.append(bool(await queue.leases()))
        return kept

    assert on_executors(queues, rescue_too_late) == [True, False]


def test_an_attempt_at_what_was_asked_before_counts_for_nothing_when_it_is_asked_afresh(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def answer_the_old(executors: Executors) -> None:
        old_queue, old = await executors.begin()
        await old_queue.fail(old, TransientError("not now"))
        await asyncio.to_thread(client.ask, a_request())
        queue, new = await executors.begin("gpu-1")
        await old_queue.finish(old, {"n": "old"})
        await queue.finish(new, {"n": "new"})

    on_executors(queues, answer_the_old)
    assert client.wait(a_request(), on_event=print).result == {"n": "new"}


def test_an_executor_that_was_stopped_does_not_count_as_one_that_died(queues: str) -> None:
    InferenceClient(queues).ask(a_request())

    async def stop_often(executors: Executors) -> int:
        for number in range(5):
            queue, claim = await executors.begin(f"gpu-{number}")
            await queue.give_back(claim, "the executor was stopped")
        _, claim = await executors.begin("gpu-5")
        return claim.lost

    assert on_executors(queues, stop_often) == 0


def test_canceling_a_run_ends_its_requests_and_no_others(queues: str) -> None:
    client = InferenceClient(queues)

    async def cancel_at_work(executors: Executors) -> list[bool]:
        client.ask(a_request("one", run_id="run-1"))
        queue, claim = await executors.begin()
        client.ask(a_request("two", run_id="run-1"))
        client.ask(a_request("three", run_id="run-2"))
        held = [claim.lease in await queue.leases()]
        assert await asyncio.to_thread(cancel_requests_of_run, queues, "run-1") == 2
        held.append(claim.lease in await queue.leases())
        await queue.finish(claim, {"n": 1})
        return held

    assert on_executors(queues, cancel_at_work) == [True, False]
    states = {request["key"]: request["state"] for request in requests(queues)}
    assert states == {"one": "failed", "two": "failed", "three": "queued"}
    lines = list[str]()
    with pytest.raises(TranscriptionAborted):
        client.wait(a_request("one"), on_event=lines.append)
    assert lines == ["Attempt 1 begins on gpu-0.", "Attempt 1 on gpu-0: withdrawn."]


def test_a_server_that_takes_no_writes_for_a_moment_is_waited_for(queues: str) -> None:
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
    """Wait until a session has said that it listens."""
    listening = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"
    wait_until(lambda: connection.execute(listening).fetchone(), 30, "a session listens", every=0.02)
