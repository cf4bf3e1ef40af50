"""The client of Dagster's web server: its documents fit Dagster's schema, and every answer is understood."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import graphql
import pytest
from dagster_graphql.schema import create_schema

from transcription_dagster.dagster_api import queries as queries
from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster.dagster_api.values import (
    JobLocation,
    Run,
    RunRequest,
    failure_reason,
    read_results,
)
from transcription_dagster.errors import ServiceRefused, ServiceUnavailable
from transcription_dagster_tests.fake_dagster import (
    FakeDagster,
    fake_dagster,
    json_reply,
    materialization,
    step_failure,
)
from transcription_dagster_tests.sources.web_server import Reply

WHERE = JobLocation("transcribe_recordings", "__repository__", "here")


@pytest.fixture
def dagster() -> Iterator[FakeDagster]:
    with fake_dagster() as server:
        yield server


@pytest.fixture
def client(dagster: FakeDagster) -> Iterator[DagsterClient]:
    with DagsterClient(dagster.url) as client:
        yield client


def always(dagster: FakeDagster, data: dict[str, Any], status: int = 200) -> None:
    dagster.interfere = lambda _operation, _variables: json_reply({"data": data}, status)


@pytest.fixture(scope="module")
def schema() -> graphql.GraphQLSchema:
    return create_schema().graphql_schema


@pytest.mark.parametrize(
    "document",
    [
        queries.JOBS,
        queries.add_partitions(1),
        queries.add_partitions(3),
        queries.LAUNCH_RUNS,
        queries.RUNS,
        queries.TERMINATE_RUNS,
        queries.MATERIALIZATIONS,
        queries.EVENTS,
        queries.count_runs(("QUEUED", "SUCCESS")),
        queries.DAEMONS,
    ],
)
def test_the_queries_are_valid_for_dagsters_schema(schema: graphql.GraphQLSchema, document: str) -> None:
    assert graphql.validate(schema, graphql.parse(document)) == []


def test_a_job_is_found_wherever_it_is_defined(client: DagsterClient) -> None:
    assert client.find_job("transcribe_recordings") == WHERE


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        (None, ServiceUnavailable, "definitions of here are still being loaded"),
        (
            {"__typename": "PythonError", "message": "\nImportError: no\n"},
            ServiceRefused,
            "do not load: ImportError: no",
        ),
        ({"__typename": "RepositoryLocation"}, ServiceRefused, "Dagster has no job 'nowhere'"),
    ],
)
def test_a_missing_job_is_reported_with_the_reason(
    dagster: FakeDagster, client: DagsterClient, place: object, error: type[Exception], message: str
) -> None:
    entries = [{"name": "here", "locationOrLoadError": place}]
    workspace = {"__typename": "Workspace", "locationEntries": entries}
    always(dagster, {**dagster._Jobs(), "workspaceOrError": workspace})
    with pytest.raises(error, match=message):
        client.find_job("nowhere")


def test_partitions_are_added_once(dagster: FakeDagster, client: DagsterClient) -> None:
    client.add_partitions(WHERE, "recordings", ["a", "b"])
    client.add_partitions(WHERE, "recordings", ["b", "c"])
    client.add_partitions(WHERE, "recordings", [])
    assert dagster.partitions == ["a", "b", "c"]


def test_a_partition_that_cannot_be_added_is_an_error(dagster: FakeDagster, client: DagsterClient) -> None:
    always(dagster, {"key0": {"__typename": "PythonError", "message": "OperationalError: gone\n\nmore"}})
    with pytest.raises(ServiceUnavailable, match=r"Dagster answered: OperationalError: gone$"):
        client.add_partitions(WHERE, "recordings", ["a"])


def test_runs_are_launched_with_their_partition_tags_and_config(dagster: FakeDagster, client: DagsterClient) -> None:
    config = {"ops": {"transcript": {"config": {"model": "tiny"}}}}
    launched = client.launch(WHERE, [RunRequest(key, {"transcription/batch": "b"}, config) for key in ("x", "y")])
    assert list(launched) == [{"x": "run-1", "y": "run-2"}]
    assert dagster.runs["run-2"].tags == {"transcription/batch": "b", "dagster/partition": "y"}
    assert dagster.runs["run-2"].config == config


def test_a_request_to_the_server_launches_a_few_runs(dagster: FakeDagster, client: DagsterClient) -> None:
    sizes: list[int] = []
    dagster.interfere = lambda operation, variables: (
        sizes.append(len(variables["runs"])) if operation == "LaunchRuns" else None
    )
    keys = [str(number) for number in range(12)]
    client.add_partitions(WHERE, "recordings", keys)
    launched = list(client.launch(WHERE, [RunRequest(key, {}, {}) for key in keys]))
    assert sizes == [5, 5, 2] == [len(page) for page in launched]
    assert [key for page in launched for key in page] == keys


def test_a_launch_that_is_repeated_gives_the_run_of_the_first_try(dagster: FakeDagster, client: DagsterClient) -> None:
    request, another = RunRequest("x", {}, {}), RunRequest("x", {}, {})
    assert list(client.launch(WHERE, [request])) == list(client.launch(WHERE, [request])) == [{"x": "run-1"}]
    assert list(client.launch(WHERE, [another])) == [{"x": "run-2"}]


def test_the_runs_launched_before_one_that_cannot_be_launched_now_are_known(
    dagster: FakeDagster, client: DagsterClient
) -> None:
    results = [{"__typename": "LaunchRunSuccess", "run": {"runId": "1"}}, {"__typename": "PythonError", "message": "x"}]
    launch = {"__typename": "LaunchMultipleRunsResult", "launchMultipleRunsResult": results}
    always(dagster, {"launchMultipleRuns": launch}, status=500)
    launched = client.launch(WHERE, [RunRequest(key, {}, {}) for key in ("x", "y")])
    assert next(launched) == {"x": "1"}
    with pytest.raises(ServiceUnavailable, match="Dagster could not launch 1 of 2 runs: x"):
        next(launched)


def test_a_run_that_can_never_be_launched_is_an_error_with_the_reason(
    dagster: FakeDagster, client: DagsterClient
) -> None:
    results = [{"__typename": "RunConfigValidationInvalid", "errors": [{"message": "unexpected entry"}]}]
    launch = {"__typename": "LaunchMultipleRunsResult", "launchMultipleRunsResult": results}
    always(dagster, {"launchMultipleRuns": launch})
    with pytest.raises(ServiceRefused, match="Dagster refuses the run of x: unexpected entry"):
        list(client.launch(WHERE, [RunRequest("x", {}, {})]))


def test_runs_are_found_by_every_condition(dagster: FakeDagster, client: DagsterClient) -> None:
    first, second = dagster.add_run("a", {"t": "1"}), dagster.add_run("b", {"t": "2"})
    second.end("FAILURE")
    assert [run.id for run in client.runs()] == [second.id, first.id]
    assert [run.id for run in client.runs(tags={"t": "1"})] == [first.id]
    assert [run.id for run in client.runs(statuses=["FAILURE"])] == [second.id]
    assert client.runs(ids=[first.id]) == [
        Run(first.id, "STARTED", None, {}, {"t": "1", "dagster/partition": "a"}),
    ]


def test_more_runs_than_one_page_holds_are_all_found(dagster: FakeDagster, client: DagsterClient) -> None:
    created_runs = [dagster.add_run(str(number)).id for number in range(1001)]
    assert [run.id for run in client.runs()] == created_runs[::-1]


def test_finished_runs_are_left_alone(dagster: FakeDagster, client: DagsterClient) -> None:
    finished, alive = dagster.add_run("a"), dagster.add_run("b")
    finished.end("SUCCESS")
    client.terminate([finished.id, alive.id])
    client.terminate([])
    assert (finished.status, alive.status) == ("SUCCESS", "CANCELED")


def test_a_failure_is_found_on_a_later_page(dagster: FakeDagster, client: DagsterClient) -> None:
    dagster.events = [{"__typename": "RunStartEvent"}] * 4 + [step_failure("audio", "ValueError: no")]
    assert client.failure("1") == "audio: ValueError: no"


def test_a_server_without_graphql_is_not_dagster(dagster: FakeDagster, client: DagsterClient) -> None:
    for body in (b"<html>", b"[]"):
        dagster.interfere = lambda _operation, _variables, body=body: Reply(502, {}, body)
        with pytest.raises(ServiceUnavailable):
            client.runs()


def test_a_missing_server_is_unavailable() -> None:
    with DagsterClient("http://127.0.0.1:9") as client, pytest.raises(ServiceUnavailable, match="ConnectError"):
        client.runs()


def test_an_invalid_request_is_refused(dagster: FakeDagster, client: DagsterClient) -> None:
    dagster.interfere = lambda *_: json_reply({"data": None, "errors": [{"message": "Cannot query field"}]}, 400)
    with pytest.raises(ServiceRefused, match="Cannot query field"):
        client.runs()


def test_a_partial_error_may_be_temporary(dagster: FakeDagster, client: DagsterClient) -> None:
    dagster.interfere = lambda *_: json_reply({"data": {"runsOrError": None}, "errors": [{"message": "timeout"}]})
    with pytest.raises(ServiceUnavailable, match="timeout"):
        client.runs()


def test_runs_are_counted_by_status(dagster: FakeDagster, client: DagsterClient) -> None:
    counts = {"QUEUED": 3, "SUCCESS": 7}
    statuses = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING", "SUCCESS", "FAILURE", "CANCELED")
    always(dagster, {status: {"__typename": "Runs", "count": counts.get(status, 0)} for status in statuses})
    assert {status: count for status, count in client.count_runs().items() if count} == counts


def test_only_required_daemons_are_reported(dagster: FakeDagster, client: DagsterClient) -> None:
    statuses = [
        {"daemonType": "SENSOR", "required": True, "healthy": False, "lastHeartbeatErrors": [{"message": "E: x\ny"}]},
        {"daemonType": "ASSET", "required": True, "healthy": None, "lastHeartbeatErrors": []},
        {"daemonType": "SCHEDULER", "required": False, "healthy": None, "lastHeartbeatErrors": []},
    ]
    always(dagster, {"instance": {"daemonHealth": {"allDaemonStatuses": statuses}}})
    assert [(daemon.type, daemon.healthy, daemon.errors) for daemon in client.daemons()] == [
        ("SENSOR", False, ("E: x",)),
        ("ASSET", False, ()),
    ]


def test_the_latest_materialization_of_an_asset_counts() -> None:
    results = read_results(
        [
            materialization("transcript", 9, "file:///new", words=5, audio_seconds=1.5),
            materialization("transcript", 3, "file:///old", words=4),
            materialization("audio", 1),
        ]
    )
    assert results.files == {"transcript": "file:///new"}
    assert results.figures == {"audio": {}, "transcript": {"words": 5, "audio_seconds": 1.5}}


RUN_FAILURE = {"__typename": "RunFailureEvent", "message": "The run worker was lost.\nMore.", "error": None}


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([step_failure("audio", "RuntimeError: no audio\nat all")], "audio: RuntimeError: no audio"),
        (
            [step_failure("audio", "transcription_dagster.errors.UnusableAudio: a.mp3: no sound")],
            "audio: a.mp3: no sound",
        ),
        ([step_failure("audio", "Failure: x", described="talk.mp3: not found\nmore")], "audio: talk.mp3: not found"),
        ([step_failure("a", "ValueError: first"), step_failure("b", "ValueError: 2")], "a: ValueError: first"),
        ([RUN_FAILURE, step_failure("a", "ValueError: x")], "a: ValueError: x"),
        ([RUN_FAILURE], "The run worker was lost."),
        ([{"__typename": "RunStartEvent"}], "Dagster gives no reason"),
    ],
)
def test_the_reason_is_the_original_errors_first_line(events: list[dict[str, Any]], message: str) -> None:
    assert failure_reason(events) == message


def test_the_error_behind_a_retry_request_is_reported() -> None:
    event = step_failure("audio", "dagster._core.definitions.events.RetryRequested: ")
    cause = {"className": "SourceUnavailable", "message": "transcription_dagster.errors.SourceUnavailable: no answer"}
    event["error"]["causes"].append(cause)
    assert failure_reason([event]) == "audio: no answer"
