"""The executors' queue: requests are claimed once, and none is lost with an executor."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from transcription_dagster.errors import (
    ExecutorLost,
    TransientError,
    UnusableAudio,
    WorkerUnfit,
)
from transcription_dagster.pool.connection import open_connection
from transcription_dagster.pool.devices import GPU_QUEUE, gpu_queue
from transcription_dagster.pool.inference_client import InferenceClient
from transcription_dagster.pool.request_queue import BROKE, UNFIT
from transcription_dagster.pool.worker_registry import WorkerRecord, publish_record
from transcription_dagster_tests.pool.executors import (
    Executors,
    a_request,
    on_executors,
    until_listening,
)


def test_executors_claim_requests_in_order_from_their_queues(queues: str) -> None:
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


def test_an_executor_is_notified_of_a_new_request(queues: str) -> None:
    async def hear(executors: Executors) -> str:
        queue, notified = await executors.start(), asyncio.get_running_loop().create_future()
        watching = asyncio.create_task(queue.watch(notified.set_result))
        with open_connection(queues) as connection:
            await asyncio.to_thread(until_listening, connection)
        await asyncio.to_thread(InferenceClient(queues).ask, a_request())
        async with asyncio.timeout(30):
            key = await notified
        watching.cancel()
        return key

    assert on_executors(queues, hear) == "one"


def test_the_third_lost_executor_fails_the_request_with_its_attempts(queues: str) -> None:
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


def test_an_executor_that_dies_before_it_begins_does_not_count(queues: str) -> None:
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


def test_a_broken_device_counts_as_a_lost_executor(queues: str) -> None:
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


def test_three_unfit_executors_end_the_request_with_a_transient_error(queues: str) -> None:
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


def test_the_runs_log_says_why_an_executor_returned_the_request(queues: str) -> None:
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


def test_reports_under_an_expired_lease_are_refused(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def come_back_late(executors: Executors) -> dict[str, Any]:
        queue, old_claim = await executors.begin("gpu-0")
        await executors.lose(queue, old_claim)
        other_queue, new_claim = await executors.begin("gpu-1")
        await queue.report_progress(old_claim, 0.9)
        await queue.finish(old_claim, {"said by": "gpu-0"})
        await queue.fail(old_claim, UnusableAudio("gpu-0 says so"))
        await queue.give_back(old_claim, "gpu-0 was stopped")
        row = await queue.connector.execute_query_one_async("SELECT state, progress FROM inference_requests")
        await other_queue.finish(new_claim, {"said by": "gpu-1"})
        return row

    assert on_executors(queues, come_back_late) == {"state": "doing", "progress": 0.0}
    answer = client.wait(a_request(), on_event=print)
    assert answer.result == {"said by": "gpu-1"}
    assert [attempt["ended"] for attempt in answer.attempts] == ["the executor was lost", "done"]


def test_a_reclaimed_request_only_accepts_reports_under_the_second_lease(queues: str) -> None:
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


def test_beginning_an_attempt_twice_is_one_attempt(queues: str) -> None:
    client = InferenceClient(queues)
    client.ask(a_request())

    async def begin_twice(executors: Executors) -> None:
        queue, claim = await executors.begin()
        assert await queue.begin(claim)
        await queue.finish(claim, {})

    on_executors(queues, begin_twice)
    assert len(client.wait(a_request(), on_event=print).attempts) == 1


def test_an_executor_with_a_newer_heartbeat_keeps_its_request(queues: str) -> None:
    InferenceClient(queues).ask(a_request())

    async def rescue_too_late(executors: Executors) -> list[Any]:
        state = WorkerRecord("gpu-0", "gpu")
        queue, observer = await executors.start(state=state), await executors.start("gpu-1")
        claim = await queue.claim()
        assert claim is not None
        for _ in range(2):
            await publish_record(queue.connector, state)
        (observed,) = await observer.foreign_leases()
        assert (observed.lease, observed.token, observed.heartbeat.beat) == (claim.lease, state.identity.token, "2")
        answered = []
        for beat in ("1", "2"):
            await observer.rescue(claim.lease, beat=beat)
            answered.append(bool(await queue.leases()))
        return answered

    assert on_executors(queues, rescue_too_late) == [True, False]


def test_a_repeated_request_does_not_count_earlier_attempts(queues: str) -> None:
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
    with open_connection(queues) as connection:
        (request,) = connection.execute("SELECT attempts, progress FROM inference_requests")
    assert [(attempt["executor"], attempt["ended"]) for attempt in request["attempts"]] == [("gpu-1", "done")]
    assert request["progress"] == 1


def test_a_stopped_executor_does_not_count_as_lost(queues: str) -> None:
    InferenceClient(queues).ask(a_request())

    async def stop_often(executors: Executors) -> int:
        for number in range(5):
            queue, claim = await executors.begin(f"gpu-{number}")
            await queue.give_back(claim, "the executor was stopped")
        _, claim = await executors.begin("gpu-5")
        return claim.lost

    assert on_executors(queues, stop_often) == 0
