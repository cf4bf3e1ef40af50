"""Runs, results and failure reasons, parsed from Dagster's GraphQL API."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: Run tags of this program: the batch that requested the run, the source whose sensor requested it, and the version and
#: digest of the shared settings that it was executed with.
BATCH_TAG: Final = "transcription/batch"
SOURCE_TAG: Final = "transcription/source"
SETTINGS_TAG: Final = "transcription/settings"
#: Run tag: the partition.
PARTITION_TAG: Final = "dagster/partition"
#: Run tag: the launch request. Dagster hides tags with this prefix, so the UI copies none into a new run.
LAUNCH_TAG: Final = ".dagster/transcription_launch"
#: Tags of a failed run: whether Dagster retries it, and the id of the retry.
WILL_RETRY_TAG: Final = "dagster/will_retry"
RETRIED_BY_TAG: Final = "dagster/auto_retry_run_id"

#: Statuses of waiting, launched and ended runs.
WAITING_STATUSES: Final = ("QUEUED", "NOT_STARTED")
ACTIVE_STATUSES: Final = ("STARTING", "STARTED", "CANCELING")
ENDED_STATUSES: Final = ("SUCCESS", "FAILURE", "CANCELED")

#: Wrapper errors, skipped when looking for the root cause.
_WRAPPERS = ("DagsterExecutionStepExecutionError", "RetryRequested", "RetryRequestedFromPolicy")


@dataclass(frozen=True, slots=True)
class JobLocation:
    """The location of a job's definition."""

    job: str
    repository: str
    location: str

    @property
    def repository_selector(self) -> dict[str, str]:
        """Return the repository as a GraphQL selector."""
        return {"repositoryName": self.repository, "repositoryLocationName": self.location}


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run to launch: one partition of a job. However often it is launched, there is one run of it."""

    partition: str
    tags: Mapping[str, str]
    config: Mapping[str, Any]
    id: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class Run:
    """The last known state of a run."""

    id: str
    status: str
    #: Seconds since the epoch; None until it ends.
    ended_at: float | None
    config: Mapping[str, Any]
    tags: Mapping[str, str]

    @property
    def partition(self) -> str | None:
        """Return the run's partition."""
        return self.tags.get(PARTITION_TAG)


@dataclass(frozen=True, slots=True)
class RunResults:
    """The results of a run and its retries."""

    #: Asset name -> URI of its file.
    files: Mapping[str, str]
    #: Asset name -> the numbers in its metadata.
    figures: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Daemon:
    """The health of one of Dagster's daemons."""

    type: str
    healthy: bool
    errors: tuple[str, ...] = ()


def first_line(text: str) -> str:
    """Return the first line that is not blank."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def to_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Convert tags to the API's form."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def read_run(run: Mapping[str, Any]) -> Run:
    """Parse the API's `Run`."""
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    return Run(run["runId"], run["status"], run["endTime"], run["runConfig"] or {}, tags)


def read_results(materializations: Iterable[Mapping[str, Any]]) -> RunResults:
    """Parse the API's `MaterializationEvent`s, keeping the latest of each asset."""
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
    """Return in one line why a run failed: the error of the first failed step, or else of the run."""
    reason = ""
    for event in events:
        if event["__typename"] == "ExecutionStepFailureEvent":
            return f"{event['stepKey']}: {_reason(event)}"
        if event["__typename"] == "RunFailureEvent":
            reason = _reason(event)
    return reason or "Dagster gives no reason"


def _number(entry: Mapping[str, Any]) -> float | None:
    value = entry.get("floatValue", entry.get("intValue"))
    return value if isinstance(value, int | float) else None


def _reason(event: Mapping[str, Any]) -> str:
    """Return a step's own description of its failure, or else the first error that is not a wrapper."""
    description = (event.get("failureMetadata") or {}).get("description")
    if description:
        return first_line(description)
    error = event.get("error")
    if error is None:
        return first_line(event.get("message") or "")
    return _message(next((link for link in (error, *error["causes"]) if link["className"] not in _WRAPPERS), error))


def _message(error: Mapping[str, Any]) -> str:
    """Return an error's message without the qualified class name that Python puts before it."""
    line = first_line(error["message"])
    name, colon, words = line.partition(": ")
    return words if colon and name.endswith(f".{error['className']}") else line
