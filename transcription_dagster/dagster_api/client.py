"""A client of Dagster's GraphQL API: launch, watch and terminate runs.

It does without importing Dagster, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr

from transcription_dagster.dagster_api import queries as queries
from transcription_dagster.dagster_api.values import (
    ACTIVE_STATUSES,
    ENDED_STATUSES,
    LAUNCH_TAG,
    PARTITION_TAG,
    WAITING_STATUSES,
    Daemon,
    JobLocation,
    Run,
    RunRequest,
    RunResults,
    failure_reason,
    first_line,
    read_results,
    read_run,
    to_tags,
)
from transcription_dagster.errors import ServiceRefused, ServiceUnavailable

Item = TypeVar("Item")

#: Seconds.
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
#: Rows per request.
_PAGE = 500
#: Runs launched per request. The web server validates, stores and queues one after the other, each in about twenty
#: statements: on a busy machine, a run takes seconds.
_LAUNCHES = 5
#: Partitions added per request.
_PARTITIONS = 50
#: Statuses with which the application in front of Dagster rejects a request.
_REFUSED = (401, 403, 429)
#: Results of `launchMultipleRuns` that mean an outage; all others concern the request itself.
_PASSING = ("PythonError", "RunConflict")


class DagsterClient:
    """Talks to one web server.

    Every call raises `ServiceUnavailable` if the server or its code server does not answer, and `ServiceRefused` if it
    rejects the request.
    """

    def __init__(self, url: str, password: SecretStr | None = None) -> None:
        authentication = basic_authentication(password)
        self._http = httpx.Client(base_url=url.rstrip("/"), timeout=_TIMEOUT, trust_env=False, auth=authentication)

    def __enter__(self) -> DagsterClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def find_job(self, name: str) -> JobLocation:
        """Return the location of the job `name`; if the definitions do not load, the error says why."""
        answer = self._ask(queries.JOBS)
        for repository in _expect(answer["repositoriesOrError"], "RepositoryConnection")["nodes"]:
            if any(job["name"] == name for job in repository["jobs"]):
                return JobLocation(name, repository["name"], repository["location"]["name"])
        for entry in _expect(answer["workspaceOrError"], "Workspace")["locationEntries"]:
            place = entry["locationOrLoadError"]
            if place is None:
                raise ServiceUnavailable(f"the definitions of {entry['name']} are still being loaded")
            if place["__typename"] == "PythonError":
                raise ServiceRefused(f"the definitions of {entry['name']} do not load: {first_line(place['message'])}")
        raise ServiceRefused(f"Dagster has no job {name!r}")

    def add_partitions(self, where: JobLocation, name: str, keys: Sequence[str]) -> None:
        """Add keys to the dynamic partitions `name`, skipping existing ones."""
        for batch in _batches(keys, _PARTITIONS):
            variables = {"repository": where.repository_selector, "name": name}
            variables |= {f"key{number}": key for number, key in enumerate(batch)}
            for result in self._ask(queries.add_partitions(len(batch)), **variables).values():
                _expect(result, "AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError")

    def launch(self, where: JobLocation, requests: Sequence[RunRequest]) -> Iterator[dict[str, str]]:
        """Launch runs, a few at a time; yield the run ids of each few by partition.

        Raises `ServiceRefused` if Dagster permanently rejects one of them. After `ServiceUnavailable`, any run that was
        not yielded may exist, or may still be created by a server that answers late. Launch the same `RunRequest`
        again: Dagster's storage (`pool/storage.py`) returns the run that exists.
        """
        for batch in _batches(requests, _LAUNCHES):
            answer = self._ask(queries.LAUNCH_RUNS, runs=[_execution(where, request) for request in batch])
            results = _expect(answer["launchMultipleRuns"], "LaunchMultipleRunsResult")["launchMultipleRunsResult"]
            launched, failed = {}, []
            for request, result in zip(batch, results, strict=True):
                if result["__typename"] == "LaunchRunSuccess":
                    launched[request.partition] = result["run"]["runId"]
                elif result["__typename"] in _PASSING:
                    failed.append(_error_message(result))
                else:
                    raise ServiceRefused(f"Dagster refuses the run of {request.partition}: {_error_message(result)}")
            yield launched
            if failed:
                raise ServiceUnavailable(f"Dagster could not launch {len(failed)} of {len(batch)} runs: {failed[0]}")

    def runs(
        self,
        *,
        ids: Sequence[str] | None = None,
        job: str | None = None,
        statuses: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> list[Run]:
        """Return the runs that match all given conditions, newest first."""
        conditions = {"runIds": ids, "pipelineName": job, "statuses": statuses, "tags": to_tags(tags) if tags else None}
        filters = {name: value for name, value in conditions.items() if value is not None}
        runs: list[Run] = []
        cursor = None
        while True:
            answer = self._ask(queries.RUNS, filter=filters, limit=_PAGE, cursor=cursor)
            page = [read_run(run) for run in _expect(answer["runsOrError"], "Runs")["results"]]
            runs += page
            if len(page) < _PAGE:
                return runs
            cursor = page[-1].id

    def imported_transcripts(self, uuids: Sequence[str]) -> set[str]:
        """Return the recordings whose latest transcript was not produced by a run but, for example, imported."""
        imported = set()
        for batch in _batches(uuids, _PAGE):
            answer = self._ask(queries.TRANSCRIPTS, partitions=list(batch))
            latest = _expect(answer["assetNodeOrError"], "AssetNode")["latestMaterializationByPartition"]
            imported |= {event["partition"] for event in latest if event and not event["runId"]}
        return imported

    def terminate(self, ids: Sequence[str]) -> None:
        """Terminate runs; those that have ended are ignored."""
        if ids:
            answer = self._ask(queries.TERMINATE_RUNS, ids=list(ids))
            for result in _expect(answer["terminateRuns"], "TerminateRunsResult")["terminateRunResults"]:
                _expect(result, "TerminateRunSuccess", "TerminateRunFailure", "RunNotFoundError")

    def results(self, run_id: str) -> RunResults:
        """Return the latest result of each asset from the run, the runs it retries and its retries."""
        group = _expect(self._ask(queries.MATERIALIZATIONS, id=run_id)["runGroupOrError"], "RunGroup")
        return read_results(event for run in group["runs"] if run for event in run["assetMaterializations"])

    def failure(self, run_id: str) -> str:
        """Return in one line why a run failed."""
        return failure_reason(self._events(run_id))

    def count_runs(self) -> dict[str, int]:
        """Return the number of runs by status."""
        statuses = (*WAITING_STATUSES, *ACTIVE_STATUSES, *ENDED_STATUSES)
        answer = self._ask(queries.count_runs(statuses))
        return {status: _expect(answer[status], "Runs")["count"] for status in statuses}

    def daemons(self) -> list[Daemon]:
        """Return the daemons that this instance requires, and whether each is healthy."""
        answer = self._ask(queries.DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return [
            Daemon(
                status["daemonType"],
                bool(status["healthy"]),
                tuple(first_line(error["message"]) for error in status["lastHeartbeatErrors"]),
            )
            for status in answer
            if status["required"]
        ]

    def _events(self, run_id: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        cursor, more = None, True
        while more:
            answer = self._ask(queries.EVENTS, id=run_id, cursor=cursor)
            page = _expect(answer["logsForRun"], "EventConnection")
            events += page["events"]
            cursor, more = page["cursor"], page["hasMore"]
        return events

    def _ask(self, query: str, **variables: object) -> dict[str, Any]:
        try:
            # The status is 500 even if only one of many results is an error.
            response = self._http.post("/graphql", json={"query": query, "variables": variables})
            answer = response.json()
        except (httpx.TransportError, ValueError) as error:
            raise ServiceUnavailable(f"Dagster's web server did not answer: {type(error).__name__}") from error
        if response.status_code in _REFUSED and isinstance(answer, dict):
            raise ServiceRefused(f"the web server rejected the login: {first_line(str(answer.get('error', answer)))}")
        if not isinstance(answer, dict):
            raise ServiceUnavailable("the server at this address is not Dagster's web server")
        errors = answer.get("errors")
        if errors and answer.get("data") is None:
            raise ServiceRefused(f"Dagster's web server rejected the request: {first_line(errors[0]['message'])}")
        if errors:
            raise ServiceUnavailable(f"Dagster's web server failed: {first_line(errors[0]['message'])}")
        return answer["data"]


def basic_authentication(password: SecretStr | None) -> httpx.BasicAuth | None:
    """Return credentials for a program that uses the UI's password; the user name is ignored."""
    return httpx.BasicAuth("transcription", password.get_secret_value()) if password else None


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _execution(where: JobLocation, request: RunRequest) -> dict[str, Any]:
    tags = {**request.tags, PARTITION_TAG: request.partition, LAUNCH_TAG: request.id}
    return {
        "selector": {**where.repository_selector, "jobName": where.job},
        "runConfigData": request.config,
        "executionMetadata": {"tags": to_tags(tags)},
    }


def _expect(result: dict[str, Any], *types: str) -> dict[str, Any]:
    """Return a union's value if its type is one of `types`; otherwise raise its error."""
    if result["__typename"] in types:
        return result
    raise ServiceUnavailable(f"Dagster answered: {_error_message(result)}")


def _error_message(result: Mapping[str, Any]) -> str:
    messages = [error["message"] for error in result.get("errors", ())] or [result.get("message", "")]
    return first_line(messages[0]) or result["__typename"]
