"""The state machine of a batch: what it submits, how it interprets Dagster's answers, and when it is over."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.cli.batch.state import RETRY_GRACE_SECONDS, BatchState, Ending
from transcription_dagster.dagster_api.values import ENDED_STATUSES, Run

NOW = 1_000.0


def run(run_id: str, status: str, *, ended_at: float | None = None, **tags: str) -> Run:
    return Run(run_id, status, ended_at, {}, {f"dagster/{name}": value for name, value in tags.items()})


def failed(run_id: str) -> Run:
    return run(run_id, "FAILURE", ended_at=NOW, will_retry="false")


def started(uuids: str, *, keep_going: bool = False) -> BatchState:
    """Return a batch of recordings `a`, `b`... with the run `A` of `a` in flight, and so on."""
    state = BatchState(uuids, keep_going=keep_going)
    state.launched({uuid: uuid.upper() for uuid in uuids})
    return state


def end(state: BatchState, *runs: Run, now: float = NOW) -> list[tuple[str, str]]:
    """Update the state with the runs and end those that ended; return recordings and endings."""
    endings = state.endings(runs, now)
    for ending in endings:
        state.end(ending)
    return [(ending.uuid, ending.kind) for ending in endings]


def test_recordings_are_submitted_in_order_up_to_the_limit() -> None:
    state = BatchState("abcd", keep_going=False)
    assert state.to_submit(3) == ["a", "b", "c"]
    state.launched({"a": "A"})
    assert state.to_submit(3) == ["b", "c"]
    assert state.to_submit(1) == []


def test_a_lowered_limit_submits_nothing() -> None:
    assert started("abc").to_submit(1) == []


def test_a_run_of_a_finished_recording_is_ignored() -> None:
    state = started("a")
    state.launched({"a": "other", "z": "Z"})
    assert state.in_flight == {"a": "A"}


def test_runs_in_progress_continue() -> None:
    state = started("abc")
    assert end(state, run("A", "QUEUED"), run("B", "STARTED"), run("C", "CANCELING")) == []
    assert list(state.in_flight) == ["a", "b", "c"]


def test_a_batch_is_over_when_all_recordings_are_done() -> None:
    state = started("ab")
    assert end(state, run("A", "SUCCESS"), run("B", "STARTED")) == [("a", "done")]
    assert not state.over
    assert end(state, run("B", "SUCCESS")) == [("b", "done")]
    assert (state.over, state.done, state.failed) == (True, 2, 0)


def test_an_empty_batch_is_over() -> None:
    assert BatchState("", keep_going=False).over


def test_a_failure_stops_submissions_but_not_runs_in_progress() -> None:
    state = BatchState("abc", keep_going=False)
    state.launched({"a": "A", "b": "B"})
    assert end(state, failed("A"), run("B", "STARTED")) == [("a", "failed")]
    assert (state.stopping, state.over, state.to_submit(9)) == (True, False, [])
    assert end(state, run("B", "SUCCESS")) == [("b", "done")]
    assert state.over
    assert list(state.waiting) == ["c"]


def test_with_yes_a_failure_stops_nothing() -> None:
    state = BatchState("ab", keep_going=True)
    state.launched({"a": "A"})
    end(state, failed("A"))
    assert state.to_submit(9) == ["b"]
    assert (state.failed, state.over) == (1, False)


@pytest.mark.parametrize("keep_going", [True, False])
def test_a_terminated_or_deleted_run_is_a_failure(keep_going: bool) -> None:
    state = started("ab", keep_going=keep_going)
    assert end(state, run("A", "CANCELED")) == [("a", "canceled"), ("b", "gone")]
    assert (state.failed, state.stopping) == (2, not keep_going)


def test_a_failed_run_that_dagster_retries_is_followed() -> None:
    state = started("a")
    retried = run("A", "FAILURE", ended_at=NOW, will_retry="true")
    assert end(state, retried, now=NOW + 3600) == []
    assert end(state, run("A", "FAILURE", ended_at=NOW, will_retry="true", auto_retry_run_id="A2")) == []
    assert state.in_flight == {"a": "A2"}
    assert end(state, run("A2", "SUCCESS")) == [("a", "done")]


def test_a_retry_that_dagster_gives_up_is_a_failure() -> None:
    state = started("a")
    assert end(state, run("A", "FAILURE", ended_at=NOW, will_retry="true")) == []
    assert end(state, failed("A")) == [("a", "failed")]


def test_a_failure_counts_once_dagster_had_time_to_announce_a_retry() -> None:
    state = started("a")
    fresh = run("A", "FAILURE", ended_at=NOW)
    assert end(state, fresh, now=NOW + RETRY_GRACE_SECONDS) == []
    assert end(state, fresh, now=NOW + RETRY_GRACE_SECONDS + 0.1) == [("a", "failed")]


def test_stopping_cancels_runs_that_have_not_started() -> None:
    state = started("abc")
    state.endings([run("A", "STARTED"), run("B", "QUEUED"), run("C", "NOT_STARTED")], NOW)
    state.stop()
    assert state.to_cancel(started=False) == ["B", "C"]
    state.cancel_requested(["B", "C"])
    assert state.to_cancel(started=False) == []
    assert end(state, run("A", "SUCCESS"), run("B", "CANCELED"), run("C", "CANCELED")) == [
        ("a", "done"),
        ("b", "canceled by batch"),
        ("c", "canceled by batch"),
    ]
    assert (state.over, state.failed, list(state.waiting)) == (True, 0, ["b", "c"])


def test_a_run_with_unknown_status_is_left_alone() -> None:
    state = started("a")
    assert state.to_cancel(started=False) == []


def test_aborting_cancels_all_runs() -> None:
    state = started("ab")
    state.endings([run("A", "STARTED"), run("B", "QUEUED")], NOW)
    state.stop()
    state.cancel_requested(state.to_cancel(started=False))
    assert state.to_cancel(started=True) == ["A"]


def test_a_run_that_finished_before_its_cancellation_counts_as_done() -> None:
    state = started("a")
    state.stop()
    state.cancel_requested(["A"])
    assert end(state, run("A", "SUCCESS")) == [("a", "done")]


def test_an_unrecorded_ending_is_reported_again() -> None:
    state = started("a")
    success = [run("A", "SUCCESS")]
    assert state.endings(success, NOW) == state.endings(success, NOW) == [Ending("a", "A", "done")]


@given(
    uuids=st.lists(st.integers(0, 99).map(str), unique=True, max_size=12),
    keep_going=st.booleans(),
    ticks=st.lists(st.tuples(st.integers(0, 5), st.lists(st.sampled_from(ENDED_STATUSES), max_size=5)), max_size=40),
    stop_at=st.integers(0, 40),
)
def test_no_recording_is_ever_lost_counted_twice_or_in_flight_beyond_the_limit(
    uuids: Sequence[str], keep_going: bool, ticks: list[tuple[int, list[str]]], stop_at: int
) -> None:
    state = BatchState(uuids, keep_going=keep_going)
    canceled: list[str] = []
    for number, (limit, fates) in enumerate(ticks):
        if number == stop_at:
            state.stop()
        submitted = state.to_submit(limit)
        assert not (submitted and state.stopping)
        canceled += submitted
        state.launched({uuid: f"run-{uuid}" for uuid in submitted})
        assert not submitted or len(state.in_flight) <= limit
        finished = dict(zip(state.in_flight.values(), fates, strict=False))
        runs = [
            run(run_id, finished.get(run_id, "STARTED"), ended_at=NOW, will_retry="false")
            for run_id in state.in_flight.values()
        ]
        end(state, *runs)
        assert state.done + state.failed + len(state.in_flight) + len(state.waiting) == len(uuids)
    assert len(canceled) == len(set(canceled))
    assert state.over == (not state.in_flight and (state.stopping or not state.waiting))
