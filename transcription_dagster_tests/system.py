"""The whole system for tests: a real stack with its own home, driven over GraphQL as by the UI."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from psycopg.rows import DictRow
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

import transcription_dagster_tests
from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster.dagster_api.queries import LAUNCH_RUNS
from transcription_dagster.dagster_api.values import (
    ACTIVE_STATUSES,
    ENDED_STATUSES,
    WAITING_STATUSES,
    JobLocation,
    Run,
    RunRequest,
)
from transcription_dagster.database.connection import open_database
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.errors import ServiceUnavailable
from transcription_dagster.pool.connection import open_connection
from transcription_dagster.pool.status import PoolReader, PoolStatus, WorkerStatus
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.stack.plan import plan_stack
from transcription_dagster.stack.postgres import database_url
from transcription_dagster.stack.stack import RunningStack, start

DEMO = Path(transcription_dagster_tests.__file__).parent / "bulletin"
CHECKPOINT = DEMO / "bulletin.pt"
REFERENCES: Sequence[dict[str, Any]] = json.loads((DEMO / "recordings" / "references.json").read_text())
#: Shortest first: 7 to 65 seconds.
DEMO_RECORDINGS = tuple(
    DEMO / "recordings" / reference["file"] for reference in sorted(REFERENCES, key=lambda each: each["seconds"])
)
JOB = "transcribe_recordings"
UNDER_WAY = (*WAITING_STATUSES, *ACTIVE_STATUSES)


def wait_until(condition: Callable[[], object], seconds: float, what: str, *, every: float = 0.2) -> None:
    """Return as soon as `condition` holds; fail the test with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {seconds:.0f} s it was still not so: {what}")
        time.sleep(every)


@dataclass
class System:
    """A running stack, and operations on it."""

    settings: Settings
    stack: RunningStack
    dagster: DagsterClient
    url: str
    #: Kept between readings of the pool, because tests read it several times per second.
    _connection: psycopg.Connection[DictRow] | None = None
    #: Detects dead workers from repeated readings.
    _pool: PoolReader = field(init=False)

    def __post_init__(self) -> None:
        stale, beat = self.settings.stale_seconds, self.settings.heartbeat_seconds
        self._pool = PoolReader(stale_seconds=stale, beat_seconds=beat)

    def pool(self) -> PoolStatus:
        if self._connection is not None:
            try:
                return self._pool.poll(self._connection)
            except psycopg.OperationalError:
                self._connection.close()
        self._connection = open_connection(self.url)
        return self._pool.poll(self._connection)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def worker(self, name: str) -> WorkerStatus | None:
        """Return the worker whose name begins with `name`."""
        return next((worker for worker in self.pool().workers if worker.name.startswith(name)), None)

    def process(self, name: str) -> psutil.Process:
        """Return the process of the worker whose name begins with `name`."""
        worker = self.worker(name)
        assert worker is not None, f"there is no worker {name}"
        return psutil.Process(worker.pid)

    def register(self, sources: Sequence[Path | str], **details: Any) -> list[str]:
        """Register each source as a separate recording with a partition; return their UUIDs."""
        uuids = [str(uuid.uuid4()) for _ in sources]
        recordings = [Recording(key, source=str(source), **details) for key, source in zip(uuids, sources, strict=True)]
        engine = open_database(self.url)
        register(engine, recordings)
        engine.dispose()
        self.dagster.add_partitions(self.job, "recordings", uuids)
        return uuids

    @property
    def job(self) -> JobLocation:
        return self.dagster.find_job(JOB)

    def launch(self, uuids: Sequence[str], tags: Mapping[str, str] | None = None) -> dict[str, str]:
        """Launch a run of each recording; return the run ids by recording."""
        waiting = {key: RunRequest(key, tags or {}, {}) for key in uuids}
        runs: dict[str, str] = {}
        for attempt in Retrying(
            retry=retry_if_exception_type(ServiceUnavailable),
            stop=stop_after_delay(300),
            wait=wait_fixed(1),
            reraise=True,
        ):
            with attempt:
                for launched in self.dagster.launch(self.job, [*waiting.values()]):
                    runs |= launched
                    for key in launched:
                        del waiting[key]
        return runs

    def launch_assets(self, uuids: Sequence[str], assets: Sequence[str]) -> list[str]:
        """Launch a run of some assets of each recording, like the UI's Materialize button; return the run ids."""
        where = self.job
        selector = {
            **where.repository_selector,
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": [a]} for a in assets],
        }
        requests = [
            {
                "selector": selector,
                "runConfigData": {},
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": key}]},
            }
            for key in uuids
        ]
        results = self.graphql(LAUNCH_RUNS, runs=requests)["launchMultipleRuns"]["launchMultipleRunsResult"]
        return [result["run"]["runId"] for result in results]

    def backfill(self, uuids: Sequence[str], assets: Sequence[str]) -> str:
        """Launch a backfill, like the UI's dialog; return its id."""
        parameters = {"partitionNames": list(uuids), "assetSelection": [{"path": [asset]} for asset in assets]}
        result = self.graphql(
            """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
                 __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
            p=parameters,
        )["launchPartitionBackfill"]
        assert result["__typename"] == "LaunchBackfillSuccess", result
        return result["backfillId"]

    def graphql(self, query: str, **variables: object) -> dict[str, Any]:
        response = httpx.post(
            f"{self.stack.url}/graphql", json={"query": query, "variables": variables}, timeout=60, trust_env=False
        ).json()
        assert "errors" not in response, response["errors"]
        return response["data"]

    def runs_of(self, uuids: Sequence[str]) -> list[Run]:
        """Return the newest run of each recording that has one."""
        newest: dict[str, Run] = {}
        for run in self.dagster.runs():
            if run.partition in set(uuids):
                newest.setdefault(run.partition, run)
        return list(newest.values())

    def finish(self, uuids: Sequence[str], seconds: float = 120) -> list[Run]:
        """Wait until the newest run of every recording has ended; return these runs."""

        def ended() -> bool:
            # Every poll of the web server takes CPU time from the runs.
            if any(run.partition in uuids for run in self.dagster.runs(statuses=UNDER_WAY)):
                return False
            runs = self.runs_of(uuids)
            return len(runs) == len(uuids) and all(run.status in ENDED_STATUSES for run in runs)

        wait_until(ended, seconds, f"the runs of {len(uuids)} recordings have ended", every=0.5)
        return self.runs_of(uuids)

    def log_of(self, run_id: str) -> list[str]:
        """Return the messages of a run's events."""
        events = self.graphql(
            """query($id: ID!) { logsForRun(runId: $id, limit: 2000) { ... on EventConnection { events {
                 ... on MessageEvent { message }
                 ... on ExecutionStepFailureEvent { error { message cause { message } } }
                 ... on EngineEvent { error { message cause { message } } } } } } }""",
            id=run_id,
        )["logsForRun"]["events"]
        failures = [event["error"] for event in events if event.get("error")]
        causes = [failure["cause"]["message"] for failure in failures if failure.get("cause")]
        return [event.get("message") or "" for event in events] + [f["message"] for f in failures] + causes

    def file(self, recording: str, name: str) -> Path:
        return self.settings.home / "store" / recording / name


def environment_of(home: Path, executors: int, **settings: str) -> dict[str, str]:
    """Return the environment for the demo's checkpoint on CPU executors; `settings` as for `running_system`."""
    values = {
        "home": str(home),
        "model": str(CHECKPOINT),
        "language": "en",
        "temperatures": "[0.0]",
        # As in the measurements: this small checkpoint does not benefit from the preceding text.
        "condition_on_previous_text": "false",
        "cpu_executors": str(executors),
        **settings,
    }
    return {f"TRANSCRIPTION_{name.upper()}": value for name, value in values.items()}


@contextmanager
def running_system(home: Path, *, executors: int = 1, run_workers: int = 2, **settings: str) -> Iterator[System]:
    """Start a stack on `home` with the demo's checkpoint on CPU executors, and stop it after the block.

    `settings` are settings by lower-case name, as strings. Logs stay in `home/logs`.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment_of(home, executors, **settings).items():
            patch.setenv(name, value)
        loaded = load_settings()
        stack = start(plan_stack(loaded, cpu_executors=executors, run_workers=run_workers, port=0), loaded)
        try:
            with (
                DagsterClient(stack.url, loaded.ui_password) as client,
                closing(System(loaded, stack, client, database_url(loaded))) as up,
            ):
                yield up
        finally:
            stack.stop(abort=lambda: True)


def copies(folder: Path, recordings: Sequence[Path]) -> list[Path]:
    """Copy recordings under new names, so that each counts as a separate file."""
    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / f"{number}{path.suffix}" for number, path in enumerate(recordings)]
    for path, target in zip(recordings, targets, strict=True):
        shutil.copyfile(path, target)
    return targets
