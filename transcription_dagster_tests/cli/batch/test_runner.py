"""A batch from its first run to its last."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from transcription_dagster.cli.batch import executors
from transcription_dagster_tests.cli.batch.lab import CONFIG, Lab, uuid
from transcription_dagster_tests.fake_dagster import (
    json_reply,
    materialization,
    step_failure,
)
from transcription_dagster_tests.sources.web_server import Reply

pytestmark = pytest.mark.slow


def test_a_batch_processes_every_recording_and_records_the_results(lab: Lab) -> None:
    lab.dagster.materializations = [materialization("transcript", uri="file:///s/t.json", words=7, audio_seconds=60)]
    batch = lab.run(5)
    assert lab.statuses == ["done"] * 5
    assert lab.written[0]["files"] == ["file:///s/t.json"]
    assert [outcome.figure("words") for outcome in batch.outcomes.values()] == [7] * 5
    assert lab.dagster.partitions == lab.uuids
    assert {tuple(sorted(run.tags.items()))[1] for run in lab.dagster.runs.values()} == {
        ("transcription/batch", "batch-1")
    }
    assert all(run.config == CONFIG for run in lab.dagster.runs.values())
    last = lab.display.progress[-1]
    assert (last.done, last.waiting, last.in_flight, last.audio_seconds) == (5, 0, 0, 300)


@pytest.mark.parametrize(
    ("count", "threads", "executors", "peak"),
    [(14, None, 2, 12), (2, None, 0, 1), (14, 1, 1, 6), (14, 2, 2, 12), (14, 5, 2, 12), (14, 1, 4, 6), (26, 3, 4, 18)],
)
def test_runs_in_flight_keep_the_allowed_executors_busy(
    lab: Lab, count: int, threads: int | None, executors: int, peak: int
) -> None:
    lab.executors = executors
    lab.run(count, threads=threads, runs_per_gpu=3)
    assert lab.dagster.peak == peak
    assert lab.statuses == ["done"] * count


@pytest.mark.parametrize(("threads", "executors"), [(None, 3), (3, 3), (4, 3)])
def test_runs_are_not_pinned_if_all_executors_are_allowed(lab: Lab, threads: int | None, executors: int) -> None:
    lab.executors = executors
    lab.run(6, threads=threads)
    assert pins(lab) == {None}


@pytest.mark.parametrize(("threads", "used"), [(1, {"cpu:0"}), (2, {"cpu:0", "cpu:1"})])
def test_runs_are_pinned_to_the_allowed_executors(lab: Lab, threads: int, used: set[str]) -> None:
    lab.executors = 3
    lab.run(12, threads=threads, runs_per_gpu=2)
    assert pins(lab) == used


def test_runs_of_a_missing_executor_move_to_another(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_GONE_SECONDS", 0.0)
    lab.executors = 2
    lab.dagster.fates = {uuid(0): "STARTED"}

    pause = lab._pause

    def lose_one(seconds: float) -> None:
        pause(seconds)
        if lab.looks > 3:
            lab.dead = {"cpu:0"}
            lab.dagster.fates.clear()

    lab._pause = lose_one  # type: ignore[method-assign]
    lab.run(1, threads=1)
    assert lab.statuses == ["done"]
    runs = lab.dagster.runs_of(uuid(0))
    assert [(run.status, run.tags["transcription/gpu"]) for run in runs] == [
        ("CANCELED", "cpu:0"),
        ("SUCCESS", "cpu:1"),
    ]


def pins(lab: Lab) -> set[str | None]:
    return {run.tags.get("transcription/gpu") for run in lab.dagster.runs.values()}


def test_the_worklist_is_written_as_results_arrive(lab: Lab) -> None:
    statuses: list[list[str | None]] = []
    lab.dagster.interfere = lambda operation, _: statuses.append(lab.statuses) if operation == "LaunchRuns" else None
    lab.run(4)
    assert statuses == [[None] * 4, ["done", "done", None, None]]


def test_each_recording_gets_its_job_and_only_transcriptions_get_the_model(lab: Lab) -> None:
    lab.run(6, runs_per_gpu=3, jobs=dict(enumerate(["captions", "reindex", "publish", "transcribe", "refine"])))
    assert lab.statuses == ["done"] * 6
    launched = {run.partition: (run.job, run.config) for run in lab.dagster.runs.values()}
    assert [launched[key] for key in lab.uuids] == [
        ("captions", {}),
        ("reindex", {}),
        ("publish", {}),
        ("transcribe_recordings", CONFIG),
        ("refine", {}),
        ("transcribe_recordings", CONFIG),
    ]


def test_an_imported_transcript_is_replaced_only_if_its_entry_says_so(lab: Lab) -> None:
    lab.dagster.imported = {uuid(0), uuid(1)}
    lab.run(3, runs_per_gpu=3, jobs={1: "transcribe"})
    jobs = {run.partition: run.job for run in lab.dagster.runs.values()}
    assert [jobs[key] for key in lab.uuids] == ["refine", "transcribe_recordings", "transcribe_recordings"]


def test_a_run_of_another_job_is_not_adopted(lab: Lab) -> None:
    lab.dagster.add_run(uuid(0), job="captions")
    captions = lab.dagster.add_run(uuid(1), job="captions")
    lab.run(2, jobs={0: "refine", 1: "captions"})
    assert [run.job for run in lab.dagster.runs_of(uuid(0))] == ["captions", "refine"]
    assert lab.dagster.runs_of(uuid(1)) == [captions]


def test_the_first_failure_stops_the_batch_after_the_runs_in_progress(lab: Lab) -> None:
    lab.dagster.fates = {uuid(1): "FAILURE"}
    lab.dagster.events = [step_failure("audio", "ValueError: no audio stream")]
    lab.run(6, runs_per_gpu=2)
    assert lab.statuses == ["done", "failed", "done", "done", None, None]
    assert lab.written[1]["error"] == "audio: ValueError: no audio stream"
    assert len(lab.dagster.runs) == 4


def test_with_yes_the_batch_continues_after_a_failure(lab: Lab) -> None:
    lab.dagster.fates = {uuid(0): "FAILURE", uuid(3): "FAILURE"}
    lab.run(6, keep_going=True)
    assert lab.statuses == ["failed", "done", "done", "failed", "done", "done"]


def test_queued_runs_are_canceled_after_a_failure(lab: Lab) -> None:
    lab.dagster.fates = {uuid(0): "FAILURE", uuid(2): "QUEUED"}
    lab.run(3, runs_per_gpu=2)
    assert lab.statuses == ["failed", "done", None]
    (run,) = lab.dagster.runs_of(uuid(2))
    assert run.status == "CANCELED"


def test_a_terminated_or_deleted_run_is_reported_as_such(lab: Lab) -> None:
    lab.dagster.fates = {uuid(0): "CANCELED"}

    def delete(operation: str, _variables: object) -> None:
        for run in lab.dagster.runs_of(uuid(1)) if operation == "Runs" else ():
            del lab.dagster.runs[run.id]

    lab.dagster.interfere = delete
    lab.run(2)
    assert [entry["error"] for entry in lab.written] == ["its run was terminated", "its run was deleted"]


def test_a_retry_by_dagster_is_followed_to_its_end(lab: Lab) -> None:
    lab.dagster.fates = {uuid(0): "STARTED"}

    def lose_worker(operation: str, _variables: object) -> None:
        runs = lab.dagster.runs_of(uuid(0))
        if operation == "Runs" and len(runs) == 1 and runs[0].status == "STARTED":
            lab.dagster.fates.clear()
            retry = lab.dagster.add_run(uuid(0), runs[0].tags)
            runs[0].tags |= {"dagster/will_retry": "true", "dagster/auto_retry_run_id": retry.id}
            runs[0].end("FAILURE")

    lab.dagster.interfere = lose_worker
    lab.run(1)
    assert lab.statuses == ["done"]


def test_runs_of_a_killed_batch_are_adopted_and_not_repeated(lab: Lab) -> None:
    remaining = lab.dagster.add_run(uuid(1), {"transcription/batch": "earlier"}, CONFIG)
    lab.run(3)
    assert lab.statuses == ["done"] * 3
    assert lab.dagster.runs_of(uuid(1)) == [remaining]


def test_runs_with_other_config_are_not_adopted(lab: Lab) -> None:
    lab.dagster.add_run(uuid(0), {}, {"ops": {"transcript": {"config": {"model": "large-v3"}}}})
    lab.run(1)
    assert [run.config for run in lab.dagster.runs_of(uuid(0))][1:] == [CONFIG]


def test_runs_created_without_an_answer_are_found(lab: Lab) -> None:
    unanswered: list[str] = []

    def lose(operation: str, variables: dict[str, Any]) -> Reply | None:
        if operation == "LaunchRuns" and not unanswered:
            unanswered.extend(lab.dagster.make(params).id for params in variables["runs"])
            return Reply(502, {}, b"Bad gateway")
        return None

    lab.dagster.interfere = lose
    lab.run(3)
    assert lab.statuses == ["done"] * 3
    assert [len(lab.dagster.runs_of(key)) for key in lab.uuids] == [1, 1, 1]
    assert lab.display.notes == ["Dagster's web server did not answer: JSONDecodeError; waiting for it"]


def test_a_launch_whose_answer_is_late_is_repeated_and_gives_one_run(lab: Lab) -> None:
    lab.client_timeout = 0.2
    repeated = threading.Event()
    launches: list[list[str]] = []

    def answer_late(operation: str, variables: dict[str, Any]) -> None:
        if operation != "LaunchRuns":
            return
        launches.append([run["executionMetadata"]["tags"][-1]["value"] for run in variables["runs"]])
        if len(launches) == 1:
            # The server creates the runs long after the client has timed out.
            assert repeated.wait(60)
        else:
            repeated.set()

    lab.dagster.interfere = answer_late
    lab.run(3, runs_per_gpu=3)
    assert lab.statuses == ["done"] * 3
    assert launches[0] == launches[1]
    assert [len(lab.dagster.runs_of(key)) for key in lab.uuids] == [1, 1, 1]
    assert lab.display.notes == ["Dagster's web server did not answer: ReadTimeout; waiting for it"]


def test_a_batch_that_stops_cancels_the_runs_of_a_launch_that_got_no_answer(lab: Lab) -> None:
    def lose(operation: str, variables: dict[str, Any]) -> Reply | None:
        if operation != "LaunchRuns":
            return None
        for params in variables["runs"]:
            lab.dagster.make(params).fate = "QUEUED"
        lab.requests = 1
        return Reply(502, {}, b"Bad gateway")

    lab.dagster.interfere = lose
    lab.run(2)
    assert lab.statuses == [None, None]
    assert [run.status for run in lab.dagster.runs.values()] == ["CANCELED", "CANCELED"]


def test_runs_that_dagster_could_not_create_are_requested_again(lab: Lab) -> None:
    refused: list[str] = []

    def refuse_one(operation: str, variables: dict[str, Any]) -> Reply | None:
        if operation != "LaunchRuns" or refused:
            return None
        launched = lab.dagster.make(variables["runs"][0])
        refused.append(uuid(1))
        results = [{"__typename": "LaunchRunSuccess", "run": {"runId": launched.id}}, {"__typename": "PythonError"}]
        launch = {"__typename": "LaunchMultipleRunsResult", "launchMultipleRunsResult": results}
        return json_reply({"data": {"launchMultipleRuns": launch}}, 500)

    lab.dagster.interfere = refuse_one
    lab.run(2)
    assert lab.statuses == ["done"] * 2
    assert len(lab.dagster.runs) == 2


def test_an_unreadable_outcome_is_read_again_later(lab: Lab) -> None:
    failures = iter([Reply(500, {}, b"")])
    lab.dagster.interfere = lambda operation, _: next(failures, None) if operation == "Materializations" else None
    lab.run(2)
    assert lab.statuses == ["done"] * 2
    assert [outcome.status for outcome in lab.display.finish] == ["done"] * 2
