"""Launching runs: queued once, monitored, and canceled."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.launcher.base import LaunchRunContext, WorkerStatus

from transcription_dagster.pool.connection import open_connection
from transcription_dagster.pool.inference_client import InferenceClient
from transcription_dagster.pool.inference_requests import InferenceRequest
from transcription_dagster.pool.liveness import Identity, LivenessMonitor
from transcription_dagster.pool.run_launcher import WorkerPoolRunLauncher
from transcription_dagster.pool.run_queue import RUNS_QUEUE, RunQueue, run_job_key
from transcription_dagster.pool.worker_registry import WorkerRecord, publish_record

#: A worker whose process is not visible here.
ELSEWHERE = replace(Identity.of_this_process(), host="elsewhere", place="another machine", pid=1)

RECORDING = "7f0c2b52-9d3b-4f0e-8a53-3b6f0a3f4f11"


@dg.op
def nothing() -> None: ...


@dg.job
def a_job() -> None:
    nothing()


def a_run(instance: DagsterInstance, status: DagsterRunStatus = DagsterRunStatus.STARTING, **tags: Any) -> DagsterRun:
    return instance.create_run_for_job(a_job, status=status, tags=tags)


def launch(instance: DagsterInstance, run: DagsterRun) -> None:
    launcher(instance).launch_run(LaunchRunContext(run, workspace=None))


def launcher(instance: DagsterInstance) -> WorkerPoolRunLauncher:
    assert isinstance(instance.run_launcher, WorkerPoolRunLauncher)
    return instance.run_launcher


def jobs_of(url: str, run: DagsterRun) -> list[dict[str, Any]]:
    with open_connection(url) as connection:
        return list(
            connection.execute(
                "SELECT status::text, priority, abort_requested FROM procrastinate_jobs WHERE queueing_lock = %s",
                (run_job_key(run.run_id),),
            )
        )


def take(url: str, run: DagsterRun) -> None:
    """Have a worker claim the run's job, the only waiting one."""

    async def steps() -> None:
        state = WorkerRecord("run-1@here", "run", identity=ELSEWHERE)
        queue = RunQueue(url, state, [RUNS_QUEUE])
        await queue.open()
        try:
            await publish_record(queue.connector, state)
            claim = await queue.claim()
            assert claim is not None
            assert claim.arguments == {"run_id": run.run_id}
        finally:
            await queue.connector.close_async()

    asyncio.run(steps())


def beat(url: str) -> None:
    with open_connection(url) as connection:
        connection.execute("UPDATE transcription_workers SET beats = beats + 1, seen_at = now()")


def silence(url: str, seconds: float) -> None:
    """Set back every worker's last heartbeat by this time, on the database's clock."""
    with open_connection(url) as connection:
        connection.execute("UPDATE transcription_workers SET seen_at = now() - make_interval(secs => %s)", (seconds,))


@pytest.fixture(autouse=True)
def _empty_queue(database: str) -> None:
    # However long the server takes: on a busy machine, it is more than the program's own patience.
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM procrastinate_jobs")
        connection.execute("DELETE FROM transcription_workers")


def test_a_run_is_queued_once_however_often_it_is_launched(instance: DagsterInstance, database: str) -> None:
    priority: dict[str, Any] = {"dagster/priority": "7"}
    run = a_run(instance, **priority)
    launch(instance, run)
    launch(instance, run)
    assert jobs_of(database, run) == [{"status": "todo", "priority": 7, "abort_requested": False}]


def test_a_run_is_healthy_while_it_waits_and_while_its_worker_beats(instance: DagsterInstance, database: str) -> None:
    run = a_run(instance)
    launch(instance, run)
    assert launcher(instance).check_run_worker_health(run).status is WorkerStatus.RUNNING
    take(database, run)
    assert launcher(instance).check_run_worker_health(run).status is WorkerStatus.RUNNING


def test_a_run_fails_if_its_worker_is_silent_whatever_the_clocks_say(
    instance: DagsterInstance, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(instance, DagsterRunStatus.STARTED)
    launch(instance, run)
    take(database, run)
    clock = [1000.0]
    monitor = LivenessMonitor(stale_seconds=8, beat_seconds=2, poll_seconds=5, clock=lambda: clock[0])
    monkeypatch.setattr(launcher(instance), "_liveness", monitor)

    def health(*, after: float) -> WorkerStatus:
        clock[0] += after
        return launcher(instance).check_run_worker_health(run).status

    # The age of the heartbeat on the database's clock is ignored, because that clock may have been changed.
    silence(database, 3600)
    assert health(after=0) is WorkerStatus.RUNNING
    beat(database)
    assert health(after=5) is WorkerStatus.RUNNING
    assert health(after=5) is WorkerStatus.RUNNING
    assert health(after=5) is WorkerStatus.FAILED
    # Its heartbeats resume.
    beat(database)
    assert health(after=5) is WorkerStatus.RUNNING


@pytest.mark.parametrize(
    ("run_status", "expected"),
    [(DagsterRunStatus.STARTED, WorkerStatus.FAILED), (DagsterRunStatus.SUCCESS, WorkerStatus.SUCCESS)],
)
def test_a_run_whose_job_ended_early_has_failed(
    instance: DagsterInstance, database: str, run_status: DagsterRunStatus, expected: WorkerStatus
) -> None:
    run = a_run(instance, run_status)
    launch(instance, run)
    with open_connection(database) as connection:
        connection.execute("UPDATE procrastinate_jobs SET status = 'failed'")
    assert launcher(instance).check_run_worker_health(run).status is expected


def test_a_run_without_a_job_is_reported_as_not_found(instance: DagsterInstance) -> None:
    assert launcher(instance).check_run_worker_health(a_run(instance)).status is WorkerStatus.NOT_FOUND


def test_a_waiting_run_is_canceled_immediately(instance: DagsterInstance, database: str) -> None:
    run = a_run(instance)
    launch(instance, run)
    assert launcher(instance).terminate(run.run_id)
    assert status(instance, run) is DagsterRunStatus.CANCELED
    assert [job["status"] for job in jobs_of(database, run)] == ["cancelled"]


def test_a_run_in_progress_is_canceling_until_its_worker_reports_the_end(
    instance: DagsterInstance, database: str
) -> None:
    run = a_run(instance)
    launch(instance, run)
    take(database, run)
    assert launcher(instance).terminate(run.run_id)
    assert status(instance, run) is DagsterRunStatus.CANCELING
    assert jobs_of(database, run) == [{"status": "doing", "priority": 0, "abort_requested": True}]


def test_a_run_that_a_worker_claims_while_it_is_canceled_ends_in_that_worker(
    instance: DagsterInstance, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(instance)
    launch(instance, run)
    find, jobs = launcher(instance)._find, []

    def find_and_claim(run_id: str) -> Any:
        job = find(run_id)
        if not jobs:
            take(database, run)
        jobs.append(job)
        return job

    monkeypatch.setattr(launcher(instance), "_find", find_and_claim)
    assert launcher(instance).terminate(run.run_id)
    assert status(instance, run) is DagsterRunStatus.CANCELING
    assert jobs_of(database, run) == [{"status": "doing", "priority": 0, "abort_requested": True}]


def test_canceling_a_run_cancels_its_requests(instance: DagsterInstance, database: str) -> None:
    run = a_run(instance)
    launch(instance, run)
    InferenceClient(database).ask(InferenceRequest("a-key", "transcribe", RECORDING, run.run_id, "gpu", {}))
    launcher(instance).terminate(run.run_id)
    with psycopg.connect(database) as connection:
        assert connection.execute(
            "SELECT state, error_class FROM inference_requests WHERE key = 'a-key'"
        ).fetchall() == [("failed", "TranscriptionAborted")]


def test_canceling_one_retry_keeps_the_requests_of_the_other(instance: DagsterInstance, database: str) -> None:
    root = a_run(instance, DagsterRunStatus.FAILURE)
    retry, other = [
        instance.create_run_for_job(
            a_job,
            status=DagsterRunStatus.STARTING,
            root_run_id=root.run_id,
            parent_run_id=root.run_id,
            tags={"dagster/root_run_id": root.run_id, "dagster/parent_run_id": root.run_id},
        )
        for _ in range(2)
    ]
    for run in (retry, other):
        launch(instance, run)
    key = f"of {root.run_id}"
    InferenceClient(database).ask(InferenceRequest(key, "transcribe", RECORDING, root.run_id, "gpu", {}))
    launcher(instance).terminate(retry.run_id)
    assert request_state(database, key) == "queued"
    launcher(instance).terminate(other.run_id)
    assert request_state(database, key) == "failed"


def test_a_finished_run_is_not_terminated(instance: DagsterInstance) -> None:
    run = a_run(instance, DagsterRunStatus.SUCCESS)
    assert not launcher(instance).terminate(run.run_id)
    assert status(instance, run) is DagsterRunStatus.SUCCESS


def request_state(url: str, key: str) -> str:
    with open_connection(url) as connection:
        row = connection.execute("SELECT state FROM inference_requests WHERE key = %s", (key,)).fetchone()
    assert row is not None
    return row["state"]


def status(instance: DagsterInstance, run: DagsterRun) -> DagsterRunStatus:
    latest = instance.get_run_by_id(run.run_id)
    assert latest is not None
    return latest.status
