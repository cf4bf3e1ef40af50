"""A web server that answers Dagster's GraphQL operations from memory, so that tests control what runs do and when."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from transcription_dagster.dagster_api.values import LAUNCH_TAG
from transcription_dagster.sources.worklist_entries import JOBS
from transcription_dagster_tests.sources.web_server import Reply, Request, web_server

LOCATION = {"repositoryName": "__repository__", "repositoryLocationName": "here"}


@dataclass
class FakeRun:
    id: str
    partition: str
    tags: dict[str, str]
    config: dict[str, Any]
    status: str = "QUEUED"
    job: str = ""
    ended_at: float | None = None
    #: The run's final status; a status that is not final stays.
    fate: str = "SUCCESS"

    def step(self) -> None:
        if self.status == "QUEUED" and self.fate != "QUEUED":
            self.end("STARTED")
        elif self.status == "STARTED" and self.fate not in ("QUEUED", "STARTED"):
            self.end(self.fate)

    def end(self, status: str) -> None:
        self.status = status
        if status in ("SUCCESS", "FAILURE", "CANCELED"):
            self.ended_at = time.time() - 60
            if status == "FAILURE":
                self.tags.setdefault("dagster/will_retry", "false")

    def document(self) -> dict[str, Any]:
        tags = [{"key": key, "value": value} for key, value in self.tags.items()]
        return {
            "runId": self.id,
            "status": self.status,
            "endTime": self.ended_at,
            "runConfig": self.config,
            "tags": tags,
        }


@dataclass
class FakeDagster:
    """The server's state, and the requests it received."""

    url: str = ""
    runs: dict[str, FakeRun] = field(default_factory=dict)
    partitions: list[str] = field(default_factory=list)
    #: The outcome of recordings' runs; the others succeed.
    fates: dict[str, str] = field(default_factory=dict)
    #: The events of failed runs.
    events: list[dict[str, Any]] = field(default_factory=list)
    materializations: list[dict[str, Any]] = field(default_factory=list)
    #: Recordings whose transcript was imported.
    imported: set[str] = field(default_factory=set)
    #: The highest number of runs in flight at a time.
    peak: int = 0
    #: The run of each launch. Requests are answered concurrently.
    _launches: dict[str, FakeRun] = field(default_factory=dict)
    _creating: threading.Lock = field(default_factory=threading.Lock)
    #: Called with each operation before it is answered; a returned value replaces the answer.
    interfere: Callable[[str, dict[str, Any]], Reply | None] = lambda _operation, _variables: None

    def answer(self, request: Request) -> Reply:
        content = json.loads(request.body)
        operation = content["query"].split("(")[0].split("{")[0].split()[-1]
        variables = content["variables"]
        instead = self.interfere(operation, variables)
        return instead or json_reply({"data": getattr(self, f"_{operation}")(**variables)})

    def runs_of(self, partition: str) -> list[FakeRun]:
        return [run for run in self.runs.values() if run.partition == partition]

    def add_run(
        self,
        partition: str,
        tags: dict[str, str] | None = None,
        config: dict[str, Any] | None = None,
        job: str = "transcribe_recordings",
    ) -> FakeRun:
        """Add a run as another client would."""
        run = FakeRun(
            f"run-{len(self.runs) + 1}", partition, {**(tags or {}), "dagster/partition": partition}, config or {}
        )
        run.job = job
        run.fate = self.fates.get(partition, "SUCCESS")
        self.runs[run.id] = run
        self.peak = max(self.peak, sum(added.ended_at is None for added in self.runs.values()))
        return run

    def make(self, params: dict[str, Any]) -> FakeRun:
        """Create the run of a launch request, or return the one created earlier."""
        tags = {tag["key"]: tag["value"] for tag in params["executionMetadata"]["tags"]}
        launch = tags.pop(LAUNCH_TAG)
        with self._creating:
            run = self._launches.get(launch) or self._create(tags, params)
            self._launches[launch] = run
            return run

    def _create(self, tags: dict[str, str], params: dict[str, Any]) -> FakeRun:
        return self.add_run(tags["dagster/partition"], tags, params["runConfigData"], params["selector"]["jobName"])

    def _Jobs(self) -> dict[str, Any]:
        jobs = [{"name": name} for name in JOBS.values()]
        node = {"name": "__repository__", "location": {"name": "here"}, "jobs": jobs}
        return {
            "repositoriesOrError": {"__typename": "RepositoryConnection", "nodes": [node]},
            "workspaceOrError": {"__typename": "Workspace", "locationEntries": []},
        }

    def _AddPartitions(self, repository: dict[str, str], name: str, **keys: str) -> dict[str, Any]:
        assert (repository, name) == (LOCATION, "recordings")
        results = {}
        for variable, key in keys.items():
            exists = key in self.partitions
            self.partitions += [] if exists else [key]
            results[variable] = {
                "__typename": "DuplicateDynamicPartitionError" if exists else "AddDynamicPartitionSuccess"
            }
        return results

    def _LaunchRuns(self, runs: list[dict[str, Any]]) -> dict[str, Any]:
        assert all({**params["selector"], "jobName": ""} == {**LOCATION, "jobName": ""} for params in runs)
        results = [{"__typename": "LaunchRunSuccess", "run": {"runId": self.make(params).id}} for params in runs]
        return {"launchMultipleRuns": {"__typename": "LaunchMultipleRunsResult", "launchMultipleRunsResult": results}}

    def _Runs(self, filter: dict[str, Any], limit: int, cursor: str | None) -> dict[str, Any]:
        tags = {tag["key"]: tag["value"] for tag in filter.get("tags", [])}
        selected = [
            run
            for run in reversed(self.runs.values())
            if run.id in filter.get("runIds", self.runs)
            and run.status in filter.get("statuses", [run.status])
            and run.job == filter.get("pipelineName", run.job)
            and tags.items() <= run.tags.items()
        ]
        for run in selected if "runIds" in filter else []:
            run.step()
        documents = [run.document() for run in selected]
        start = next((index + 1 for index, document in enumerate(documents) if document["runId"] == cursor), 0)
        return {"runsOrError": {"__typename": "Runs", "results": documents[start : start + limit]}}

    def _Transcripts(self, partitions: list[str]) -> dict[str, Any]:
        latest = [{"partition": key, "runId": ""} if key in self.imported else None for key in partitions]
        return {"assetNodeOrError": {"__typename": "AssetNode", "latestMaterializationByPartition": latest}}

    def _TerminateRuns(self, ids: list[str]) -> dict[str, Any]:
        results = []
        for run_id in ids:
            run = self.runs[run_id]
            ended = run.ended_at is not None
            if not ended:
                run.end("CANCELED")
            results.append({"__typename": "TerminateRunFailure" if ended else "TerminateRunSuccess"})
        return {"terminateRuns": {"__typename": "TerminateRunsResult", "terminateRunResults": results}}

    def _Materializations(self, id: str) -> dict[str, Any]:
        runs = [{"assetMaterializations": self.materializations}]
        return {"runGroupOrError": {"__typename": "RunGroup", "runs": runs}}

    def _Events(self, id: str, cursor: str | None) -> dict[str, Any]:
        """Yields one event per page."""
        index = int(cursor or 0)
        page = {"__typename": "EventConnection", "cursor": str(index + 1), "events": self.events[index : index + 1]}
        return {"logsForRun": {**page, "hasMore": index + 1 < len(self.events)}}


def json_reply(document: object, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(document).encode())


def step_failure(step: str, error: str, *, described: str | None = None) -> dict[str, Any]:
    """Return the event of a failed step; `described` if the error is one of Dagster's failures."""
    name, _, _ = error.partition(":")
    return {
        "__typename": "ExecutionStepFailureEvent",
        "stepKey": step,
        "failureMetadata": {"description": described} if described else None,
        "error": {
            "className": "DagsterExecutionStepExecutionError",
            "message": f'dagster._core.errors.DagsterExecutionStepExecutionError: Error while executing "{step}":\n',
            "causes": [{"className": name.rpartition(".")[2], "message": f"{error}\n"}],
        },
    }


def materialization(asset: str, timestamp: int = 1, uri: str | None = None, **figures: float) -> dict[str, Any]:
    """Return the event of a materialization, with its file's URI and its numbers."""
    entries: list[dict[str, Any]] = [{"label": "preview"}]
    entries += [{"label": "uri", "url": uri}] if uri else []
    for label, value in figures.items():
        entries.append({"label": label, "intValue" if isinstance(value, int) else "floatValue": value})
    return {"timestamp": str(timestamp), "assetKey": {"path": [asset]}, "metadataEntries": entries}


@contextmanager
def fake_dagster() -> Iterator[FakeDagster]:
    """Run the server during the block."""
    dagster = FakeDagster()
    with web_server(dagster.answer) as server:
        dagster.url = server.url
        yield dagster
