"""Terminating runs at any stage, as the UI does: they end as CANCELED, and their workers continue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from transcription_dagster.pool.devices import GPU_TAG
from transcription_dagster_tests.end_to_end.one_stack.conftest import RUN_WORKERS
from transcription_dagster_tests.faults import (
    attempts_at,
    busy_executor,
    busy_run_worker,
    long_recording,
    requests_of,
    unfinished_jobs,
)
from transcription_dagster_tests.sources.web_server import WebServer
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("faults on one stack")]

#: Less than the 60 s after which Dagster's monitoring marks a canceled run as CANCELED by itself (`dagster.yaml`).
SECONDS = 45


@contextmanager
def same_processes(system: System) -> Iterator[None]:
    """Check that every worker is still the same process afterwards and has loaded no model again."""
    before = {(worker.name, worker.pid, worker.model_loads) for worker in system.pool().workers}
    yield
    assert {(worker.name, worker.pid, worker.model_loads) for worker in system.pool().workers} == before


def terminate(system: System, *run_ids: str) -> None:
    system.dagster.terminate(run_ids)
    wait_until(
        lambda: {run.status for run in system.dagster.runs(ids=run_ids)} == {"CANCELED"}, SECONDS, "they are CANCELED"
    )


def test_a_run_is_canceled_during_transcription_and_the_executor_continues(system: System, tmp_path: Path) -> None:
    (recording,) = system.register([long_recording(tmp_path, seconds=480)])
    run_id = system.launch([recording])[recording]
    executor = busy_executor(system, recording)
    assert executor.device is not None
    with same_processes(system):
        terminate(system, run_id)
        wait_until(
            lambda: all(worker.recording is None for worker in system.pool().workers), SECONDS, "all workers are free"
        )
        following = system.register(DEMO_RECORDINGS[:1])
        system.launch(following, {GPU_TAG: executor.device})
        assert {run.status for run in system.finish(following)} == {"SUCCESS"}
    assert [request["attempts"][-1]["executor"] for request in requests_of(system, following)] == [executor.name]
    assert not system.file(recording, "transcript.json").exists()


def test_runs_are_canceled_on_a_shared_executor_before_a_run_worker_and_in_the_queue(
    system: System, tmp_path: Path
) -> None:
    at_work = system.register([long_recording(tmp_path, seconds=480)] * 2)
    canceled = system.register([long_recording(tmp_path, seconds=240)] * 4)
    runs = system.launch(at_work)
    for recording in at_work:
        busy_executor(system, recording)
    with same_processes(system):
        runs |= system.launch(canceled)
        # With one run worker left, one run reaches an executor, one waits for the worker, and two in the queue.
        wait_until(
            lambda: [request["state"] for request in requests_of(system, canceled)] == ["doing"],
            60,
            "a run shares an executor",
        )
        terminate(system, *(runs[recording] for recording in canceled))
        assert sorted(len(attempts_at(system, recording)) for recording in canceled) == [0, 0, 0, 1]
        assert {run.status for run in system.dagster.runs(ids=[runs[key] for key in at_work])} == {"STARTED"}
        terminate(system, *(runs[recording] for recording in at_work))
    wait_until(lambda: not unfinished_jobs(system), SECONDS, "no job is left")


def test_a_run_is_canceled_after_its_transcription(system: System, tmp_path: Path) -> None:
    # Its text is long enough for the later steps to take some time.
    (recording,) = system.register([long_recording(tmp_path)])
    run_id = system.launch([recording])[recording]
    busy_run_worker(system, run_id)
    with same_processes(system):
        wait_until(lambda: attempts_at(system, recording) == ["done"], 120, "the transcription is done")
        terminate(system, run_id)
        wait_until(lambda: not unfinished_jobs(system), SECONDS, "no job is left")
    assert not system.file(recording, "recording.json").exists()


def test_canceling_a_backfill_cancels_its_runs(system: System, endless_source: WebServer) -> None:
    # The runs wait for their sources, because the daemon polls backfills only every thirty seconds.
    recordings = system.register([f"{endless_source.url}/{number}.wav" for number in range(4)])
    with same_processes(system):
        backfill = system.backfill(recordings, ["audio", "transcript"])
        wait_until(lambda: len(endless_source.requests) == RUN_WORKERS, 120, "every run worker has asked for a source")
        system.graphql(
            """mutation($id: String!) { cancelPartitionBackfill(backfillId: $id) { __typename } }""", id=backfill
        )
        assert {run.status for run in system.finish(recordings, 90)} == {"CANCELED"}
        wait_until(lambda: not unfinished_jobs(system), SECONDS, "no job is left")
        wait_until(
            lambda: all(worker.recording is None for worker in system.pool().workers), SECONDS, "all workers are free"
        )
