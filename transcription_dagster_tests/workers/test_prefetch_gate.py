"""When an executor takes its next job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.workers import prefetch_gate as gate_module
from transcription_dagster.workers.pool_worker import PoolWorker
from transcription_dagster.workers.prefetch_gate import LOOK_AHEAD_SECONDS, PrefetchGate


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as the gate sees it."""
    now = [100.0]
    monkeypatch.setattr(gate_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def gate() -> PrefetchGate:
    pool: Any = SimpleNamespace(state=WorkerRecord("gpu-0@here", "gpu"), hands=[], show=lambda _state: None)
    return PrefetchGate(cast(PoolWorker, pool))


def take_a_job(gate: PrefetchGate) -> None:
    cast(Any, gate)._pool.hands.append("a job")


def after(gate: PrefetchGate, clock: list[float], *, seconds: float, share: float) -> bool:
    """Whether the gate is open when `share` of the job on the device is done after `seconds`."""
    gate.progressed(share)
    clock[0] = 100.0 + seconds
    return gate.open


def test_an_executor_with_nothing_to_do_takes_a_job(gate: PrefetchGate) -> None:
    assert gate.open


def test_a_job_that_was_taken_and_is_not_on_the_device_yet_is_enough(gate: PrefetchGate) -> None:
    take_a_job(gate)
    assert not gate.open


def test_the_next_job_is_taken_shortly_before_the_present_one_ends(gate: PrefetchGate, clock: list[float]) -> None:
    take_a_job(gate)
    gate.began("a-recording")
    assert not gate.open
    # A hundred seconds in all.
    assert not after(gate, clock, seconds=50, share=0.5)
    assert not after(gate, clock, seconds=100 - LOOK_AHEAD_SECONDS - 1, share=(100 - LOOK_AHEAD_SECONDS - 1) / 100)
    assert after(gate, clock, seconds=100 - LOOK_AHEAD_SECONDS + 1, share=(100 - LOOK_AHEAD_SECONDS + 1) / 100)


def test_a_job_that_will_be_short_lets_the_next_be_taken_before_it_tells_of_its_progress(
    gate: PrefetchGate, clock: list[float]
) -> None:
    take_a_job(gate)
    gate.began("a-recording", expected_seconds=10)
    assert not after(gate, clock, seconds=10 - LOOK_AHEAD_SECONDS - 1, share=0)
    assert after(gate, clock, seconds=10 - LOOK_AHEAD_SECONDS + 1, share=0)
    # What it tells of itself counts for more.
    assert not after(gate, clock, seconds=10, share=0.1)


def test_a_job_that_has_to_be_alone_has_no_neighbour_before_it_ends(gate: PrefetchGate, clock: list[float]) -> None:
    take_a_job(gate)
    gate.began("a-recording", expected_seconds=100, alone=True)
    assert not after(gate, clock, seconds=99, share=0.99)
    assert not after(gate, clock, seconds=99, share=0)
    gate.ended()
    cast(Any, gate)._pool.hands.clear()
    assert gate.open
