"""Runs, results and reasons, as Dagster's GraphQL API gives them and as the program reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: On a run: the partition that it makes.
PARTITION_TAG: Final = "dagster/partition"
#: On a run that failed: whether Dagster retries it, and the run that does.
WILL_RETRY_TAG: Final = "dagster/will_retry"
RETRIED_BY_TAG: Final = "dagster/auto_retry_run_id"

#: Of a run that waits, that was given to a worker, and that is over.
WAITING_STATUSES: Final = ("QUEUED", "NOT_STARTED")
ACTIVE_STATUSES: Final = ("STARTING", "STARTED", "CANCELING")
ENDED_STATUSES: Final = ("SUCCESS", "FAILURE", "CANCELED")

#: Errors that are about something else: they wrap what went wrong.
_WRAPPERS = ("DagsterExecutionStepExecutionError", "RetryRequested", "RetryRequestedFromPolicy")


@dataclass(frozen=True, slots=True)
class JobLocation:
    """Where a job is defined, as Dagster addresses it."""

    job: str
    repository: str
    location: str

    @property
    def repository_selector(self) -> dict[str, str]:
        """The repository, as GraphQL wants it named."""
        return {"repositoryName": self.repository, "repositoryLocationName": self.location}


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run to ask for: one partition of a job."""

    partition: str
    tags: Mapping[str, str]
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as Dagster last knew it."""

    id: str
    status: str
    #: Seconds since the epoch; None while it is not over.
    ended_at: float | None
    config: Mapping[str, Any]
    tags: Mapping[str, str]

    @property
    def partition(self) -> str | None:
        """The partition that it makes."""
        return self.tags.get(PARTITION_TAG)


@dataclass(frozen=True, slots=True)
class RunResults:
    """What a run and its retries made."""

    #: By asset: the URI of its file.
    files: Mapping[str, str]
    #: By asset: the numbers in its metadata.
    figures: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Daemon:
    """One of the daemon's duties."""

    type: str
    healthy: bool
    errors: tuple[str, ...] = ()


def first_line(text: str) -> str:
    """Return the first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def to_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as the API takes them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def read_run(run: Mapping[str, Any]) -> Run:
    """Read a `Run` of the API."""
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    return Run(run["runId"], run["status"], run["endTime"], run["runConfig"] or {}, tags)


def read_results(materializations: Iterable[Mapping[str, Any]]) -> RunResults:
    """Read `MaterializationEvent`s of the API; of each asset the latest counts."""
    files: dict[str, str] = {}
    figures: dict[str, dict[str, float]] = {}
    for event in sorted(materializations, key=lambda event: float(event["timestamp"])):
        asset = "/".join(event["assetKey"]["path"])
        entries = {entry["label"]: entry for entry in event["metadataEntries"]}
        figures[asset] = {label: value for label, entry in entries.items() if (value := _number(entry)) is not None}
        if uri := entries.get("uri", {}).get("url"):
            files[asset] = uri
    return RunResults(files, figures)


def failure_reason(events: Iterable[Mapping[str, Any]]) -> str:
    """Return in one line why a run failed: the error of the step that failed first, or else the run's own."""
    reason = ""
    for event in events:
        if event["__typename"] == "ExecutionStepFailureEvent":
            return f"{event['stepKey']}: {_reason(event)}"
        if event["__typename"] == "RunFailureEvent":
            reason = _reason(event)
    return reason or "Dagster does not say why"


def _number(entry: Mapping[str, Any]) -> float | None:
    value = entry.get("floatValue", entry.get("intValue"))
    return value if isinstance(value, int | float) else None


def _reason(event: Mapping[str, Any]) -> str:
    """Say why, in the words of whoever raised: a step's own description, else the first error that is no wrapper."""
    told = (event.get("failureMetadata") or {}).get("description")
    if told:
        return first_line(told)
    error = event.get("error")
    if error is None:
        return first_line(event.get("message") or "")
    return _message(next((link for link in (error, *error["causes"]) if link["className"] not in _WRAPPERS), error))


def _message(error: Mapping[str, Any]) -> str:
    """The error's words without its class, which Python puts before them with the module that it is from."""
    line = first_line(error["message"])
    name, colon, words = line.partition(": ")
    return words if colon and name.endswith(f".{error['className']}") else line
