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


def test_a_database_that_is_away_for_a_while_is_waited_for(lab: Lab) -> None:
    lab.database_answers = False
    pause = lab._pause

    def come_back(seconds: float) -> None:
        pause(seconds)
        lab.database_answers = lab.looks > 3

    lab._pause = come_back  # type: ignore[method-assign]
    lab.run(1)
    assert lab.statuses == ["done"]
    assert lab.display.notes == ["the database did not answer; waiting for it"]


def test_a_stack_that_is_gone_ends_the_batch(lab: Lab) -> None:
    lab.database_answers = lab.stack_lives = False
    with pytest.raises(StackError, match="the stack ended"):
        lab.run(1)


def test_runs_that_dagster_will_never_make_end_the_batch(lab: Lab) -> None:
    results = [{"__typename": "PipelineNotFoundError", "message": "no such job"}]
    launch = {"__typename": "LaunchMultipleRunsResult", "launchMultipleRunsResult": results}
    answer = json_reply({"data": {"launchMultipleRuns": launch}})
    lab.dagster.interfere = lambda operation, _: answer if operation == "LaunchRuns" else None
    with pytest.raises(ServiceRefused, match="no such job"):
        lab.run(1)


def test_asked_to_stop_it_lets_finish_what_runs_and_takes_back_what_waits(lab: Lab) -> None:
    lab.dagster.fates = {uuid(1): "QUEUED"}
    lab.stop_after = {1: 1}
    lab.run(5)
    assert lab.statuses == ["done", None, None, None, None]
    assert len(lab.dagster.runs) == 2
    assert lab.display.notes == ["Stopping after the recordings in progress. Press Ctrl+C again to stop immediately."]


def test_asked_twice_it_ends_what_runs_and_leaves_it_waiting(lab: Lab) -> None:
    lab.dagster.fates = dict.fromkeys([uuid(0), uuid(1)], "STARTED")
    lab.stop_after = {2: 1, 4: 1}
    batch = lab.run(3)
    assert lab.statuses == [None, None, None]
    assert {run.status for run in lab.dagster.runs.values()} == {"CANCELED"}
    assert batch.outcomes == {}


def test_what_takes_too_long_after_the_first_request_is_ended(lab: Lab) -> None:
    lab.dagster.fates = {uuid(0): "STARTED"}
    lab.stop_after = {2: 1}
    lab.run(1, shutdown_seconds=0)
    assert [run.status for run in lab.dagster.runs.values()] == ["CANCELED"]


def test_asked_three_times_it_waits_for_nothing(lab: Lab) -> None:
    lab.dagster.fates = {uuid(0): "STARTED"}
    lab.dagster.interfere = lambda operation, _: Reply(500, {}, b"") if operation == "TerminateRuns" else None
    lab.stop_after = {2: 1, 3: 1, 5: 1}
    lab.run(1)
    assert lab.looks == 5
