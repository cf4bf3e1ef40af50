"""The executors that a batch with `--threads` uses, and the loss of one of them."""

from __future__ import annotations

from collections import Counter

import pytest

from transcription_dagster.cli.batch.executors import ExecutorShare
from transcription_dagster.errors import StackError
from transcription_dagster.pool.status import PoolStatus, WorkerState, WorkerStatus


def pool(*devices: str, **states: WorkerState) -> PoolStatus:
    """Return a pool of executors; `cuda_1="dead"` sets the state of the one on `cuda:1`."""
    workers = [
        WorkerStatus(
            f"{device}-{number}", "gpu", "host", 1, device, "large", states.get(device.replace(":", "_"), "idle"),
            None, None, 0, 1, None, 0.1,
        )
        for number, device in enumerate(devices)
    ]  # fmt: skip
    return PoolStatus(tuple(workers), {})


def pins(share: ExecutorShare, runs: int) -> list[str | None]:
    return [tags.get("transcription/gpu") for tags in share.tags(runs)]


def test_one_gpu_of_four_gets_all_runs_and_enough_of_them() -> None:
    share = ExecutorShare(1, runs_per_gpu=3)
    assert share.update(pool("cuda:0", "cuda:1", "cuda:2", "cuda:3"), 0) == []
    assert share.limit == 6
    assert pins(share, 6) == ["0"] * 6


def test_runs_are_spread_over_the_gpus_by_what_each_has_in_flight() -> None:
    share = ExecutorShare(2, runs_per_gpu=3)
    share.update(pool("cuda:0", "cuda:1", "cuda:2"), 0)
    share.in_flight({"a": "0", "b": "0", "c": "1"})
    assert Counter(pins(share, 5)) == {"0": 2, "1": 3}


def test_the_same_gpus_stay_chosen_while_others_come_and_go() -> None:
    share = ExecutorShare(1, runs_per_gpu=3)
    share.update(pool("cuda:2", "cuda:3"), 0)
    share.update(pool("cuda:0", "cuda:2", "cuda:3"), 1)
    assert pins(share, 1) == ["2"]


def test_a_restarted_executor_keeps_its_runs_and_a_missing_one_loses_them() -> None:
    share = ExecutorShare(1, runs_per_gpu=3)
    share.update(pool("cuda:0", "cuda:1"), 0)
    share.in_flight({"a": "0", "b": "any"})
    away = pool("cuda:0", "cuda:1", cuda_0="dead")
    assert share.update(away, 10) == []
    assert pins(share, 1) == ["0"]
    assert share.update(pool("cuda:0", "cuda:1"), 65) == []
    assert share.update(away, 70) == []
    assert share.update(away, 131) == ["a"]
    assert share.update(away, 132) == []
    assert pins(share, 1) == ["1"]


def test_without_an_alternative_the_chosen_device_is_awaited() -> None:
    share = ExecutorShare(1, runs_per_gpu=3)
    share.update(pool("cuda:0", "cuda:1", "cuda:1"), 0)
    share.in_flight({"a": "0"})
    away = pool("cuda:0", "cuda:1", "cuda:1", cuda_0="dead")
    assert [share.update(away, now) for now in (1, 100, 200)] == [[], [], []]
    assert pins(share, 1) == ["0"]


def test_nothing_is_requested_while_no_executor_can_be_chosen() -> None:
    share = ExecutorShare(1, runs_per_gpu=3)
    share.update(pool("cuda:0", "cuda:1", cuda_0="starting", cuda_1="starting"), 0)
    assert share.limit == 0


def test_a_gpu_that_restarts_does_not_open_the_others_to_the_batch() -> None:
    share = ExecutorShare(1, runs_per_gpu=3)
    share.update(pool("cuda:0", "cuda:1"), 0)
    share.update(pool("cuda:0", "cuda:1", cuda_1="dead"), 1)
    assert pins(share, 1) == ["0"]


def test_executors_that_join_later_are_left_alone() -> None:
    share = ExecutorShare(1, runs_per_gpu=3)
    share.update(pool("cuda:0"), 0)
    assert pins(share, 1) == [None]
    share.update(pool("cuda:0", "cuda:1"), 1)
    assert pins(share, 1) == ["0"]


def test_executors_of_one_index_on_two_machines_count_together() -> None:
    share = ExecutorShare(2, runs_per_gpu=3)
    share.update(pool("cuda:0", "cuda:0", "cuda:1"), 0)
    assert pins(share, 2) == ["1", "1"]
    share = ExecutorShare(3, runs_per_gpu=3)
    share.update(pool("cuda:0", "cuda:0", "cuda:1", "cuda:2"), 0)
    assert set(pins(share, 6)) == {"1", "2"}


def test_too_many_executors_per_device_are_reported() -> None:
    with pytest.raises(StackError, match="at least 2 executors"):
        ExecutorShare(1, runs_per_gpu=3).update(pool("cuda:0", "cuda:0"), 0)


def test_without_an_executor_one_recording_waits_in_dagsters_queue() -> None:
    share = ExecutorShare(None, runs_per_gpu=3)
    share.update(pool(), 0)
    assert (share.limit >= 1, pins(share, 1)) == (True, [None])
