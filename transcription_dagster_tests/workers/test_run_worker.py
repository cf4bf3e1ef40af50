"""Runs whose worker was killed: real processes that end at a chosen event."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, EventLogEntry
from dagster._core.execution.api import execute_run

from transcription_dagster.settings import Settings
from transcription_dagster.stack.home import dagster_home
from transcription_dagster.workers.run_worker import close_lost_run

pytestmark = pytest.mark.slow


@dg.op
def one() -> int:
    return 1


@dg.op(out=dg.Out(is_required=False))
def nothing(number: int):
    yield from ()


@dg.op
def another(number: int) -> None: ...


@dg.job(executor_def=dg.in_process_executor)
def a_job() -> None:
    another(nothing(one()))


def execute_until(run_id: str, last: str) -> None:
    """Execute the run in this process, which kills itself instead of reporting the event `last`."""
    instance = DagsterInstance.get()
    handle = instance.handle_new_event

    def die_instead(event: EventLogEntry, **named: Any) -> None:
        if event.dagster_event is not None and event.dagster_event.event_type_value == last:
            os.kill(os.getpid(), signal.SIGKILL)
        handle(event, **named)

    instance.handle_new_event = die_instead  # type: ignore[method-assign]
    run = instance.get_run_by_id(run_id)
    assert run is not None
    execute_run(dg.reconstructable(a_job), run, instance)


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (DagsterEventType.RUN_SUCCESS, DagsterRunStatus.SUCCESS),
        (DagsterEventType.STEP_SUCCESS, DagsterRunStatus.FAILURE),
        (DagsterEventType.STEP_SKIPPED, DagsterRunStatus.FAILURE),
    ],
)
def test_a_lost_run_failed_unless_every_step_was_done(
    instance: DagsterInstance, home: Path, last: DagsterEventType, status: DagsterRunStatus
) -> None:
    run_id = instance.create_run_for_job(a_job).run_id
    command = [sys.executable, "-c", f"from {__name__} import execute_until; execute_until({run_id!r}, {last.value!r})"]
    environment = {**os.environ, "DAGSTER_HOME": str(dagster_home(Settings(home=home)))}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == -signal.SIGKILL, finished.stderr
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is DagsterRunStatus.STARTED
    close_lost_run(instance, run)
    closed = instance.get_run_by_id(run_id)
    assert closed is not None
    assert closed.status is status
