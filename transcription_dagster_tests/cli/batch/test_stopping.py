"""A batch that is stopped: by its user, by the end of its stack, or by a refusal."""

from __future__ import annotations

import pytest

from transcription_dagster.errors import ServiceRefused, StackError
from transcription_dagster_tests.cli.batch.lab import Lab, uuid
from transcription_dagster_tests.fake_dagster import (
    json_reply,
)
from transcription_dagster_tests.sources.web_server import Reply

pytestmark = pytest.mark.slow


def test_a_batch_waits_for_an_unavailable_database(lab: Lab) -> None:
    lab.database_answers = False
    pause = lab._pause

    def come_back(seconds: float) -> None:
        pause(seconds)
        lab.database_answers = lab.looks > 3

    lab._pause = come_back  # type: ignore[method-assign]
    lab.run(1)
    assert lab.statuses == ["done"]
    assert lab.display.notes == ["the database did not answer; waiting for it"]


def test_a_dead_stack_ends_the_batch(lab: Lab) -> None:
    lab.database_answers = lab.stack_lives = False
    with pytest.raises(StackError, match="the stack ended"):
        lab.run(1)


def test_permanently_refused_runs_end_the_batch(lab: Lab) -> None:
    results = [{"__typename": "PipelineNotFoundError", "message": "no such job"}]
    launch = {"__typename": "LaunchMultipleRunsResult", "launchMultipleRunsResult": results}
    refusal = json_reply({"data": {"launchMultipleRuns": launch}})
    lab.dagster.interfere = lambda operation, _: refusal if operation == "LaunchRuns" else None
    with pytest.raises(ServiceRefused, match="no such job"):
        lab.run(1)


def test_the_first_stop_finishes_runs_in_progress_and_cancels_queued_ones(lab: Lab) -> None:
    lab.dagster.fates = {uuid(1): "QUEUED"}
    lab.stop_after = {1: 1}
    lab.run(5)
    assert lab.statuses == ["done", None, None, None, None]
    assert len(lab.dagster.runs) == 2
    assert lab.display.notes == ["Stopping after the recordings in progress. Press Ctrl+C again to stop immediately."]


def test_the_second_stop_cancels_runs_and_their_recordings_wait_again(lab: Lab) -> None:
    lab.dagster.fates = dict.fromkeys([uuid(0), uuid(1)], "STARTED")
    lab.stop_after = {2: 1, 4: 1}
    batch = lab.run(3)
    assert lab.statuses == [None, None, None]
    assert {run.status for run in lab.dagster.runs.values()} == {"CANCELED"}
    assert batch.outcomes == {}


def test_runs_that_outlast_the_shutdown_time_are_canceled(lab: Lab) -> None:
    lab.dagster.fates = {uuid(0): "STARTED"}
    lab.stop_after = {2: 1}
    lab.run(1, shutdown_seconds=0)
    assert [run.status for run in lab.dagster.runs.values()] == ["CANCELED"]


def test_the_third_stop_ends_the_batch_immediately(lab: Lab) -> None:
    lab.dagster.fates = {uuid(0): "STARTED"}
    lab.dagster.interfere = lambda operation, _: Reply(500, {}, b"") if operation == "TerminateRuns" else None
    lab.stop_after = {2: 1, 3: 1, 5: 1}
    lab.run(1)
    assert lab.looks == 5
