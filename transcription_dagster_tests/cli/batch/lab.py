"""A batch with a fake of Dagster's web server, and a pool and user controlled by the test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from transcription_dagster.cli.batch.report import Progress, RecordingOutcome
from transcription_dagster.cli.batch.runner import BatchConfig, BatchContext, BatchRun
from transcription_dagster.cli.batch.state import BatchState
from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster.errors import DatabaseUnavailable, StackError
from transcription_dagster.pool.status import PoolStatus, WorkerStatus
from transcription_dagster.sources.worklists import load
from transcription_dagster_tests.fake_dagster import (
    FakeDagster,
)

CONFIG = {"ops": {"transcript": {"config": {"model": "tiny"}}}}


@dataclass
class Recorder:
    """A display that records what it was shown, and calls a hook in between."""

    finish: list[RecordingOutcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)

    def update(self, executors: Sequence[WorkerStatus], progress: Progress) -> None:
        self.progress.append(progress)

    def finished(self, outcome: RecordingOutcome) -> None:
        self.finish.append(outcome)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Lab:
    """A batch of recordings whose web server, pool and user are controlled by the test."""

    def __init__(self, folder: Path, dagster: FakeDagster, client: DagsterClient) -> None:
        self.dagster = dagster
        self.display = Recorder()
        self.path = folder / "worklist.json"
        self.requests = 0
        #: Number of stop requests by the user, by number of polls.
        self.stop_after: dict[int, int] = {}
        self.looks = 0
        self.executors = 1
        #: Devices whose executor has died.
        self.dead: set[str] = set()
        self.stack_lives = True
        self.database_answers = True
        self._client = client
        #: Timeout of the client in seconds.
        self.client_timeout = 60.0

    def run(
        self,
        count: int = 3,
        *,
        threads: int | None = None,
        runs_per_gpu: int = 1,
        keep_going: bool = False,
        shutdown_seconds: float = 60,
        jobs: Mapping[int, str] = MappingProxyType({}),
    ) -> BatchRun:
        """Run a batch of `count` recordings; `jobs` names the jobs of some.

        Twice `runs_per_gpu` runs are in flight for each executor.
        """
        self.uuids = [uuid(number) for number in range(count)]
        entries = [{"uuid": key, "job": jobs.get(number)} for number, key in enumerate(self.uuids)]
        self.path.write_text(json.dumps(entries))
        worklist = load(self.path)
        context = BatchContext(
            self._client, self._read_pool, self._check, lambda: self.requests, self._pause, self.display
        )
        config = BatchConfig("batch-1", CONFIG, threads, runs_per_gpu=runs_per_gpu, shutdown_seconds=shutdown_seconds)
        self._client._http.timeout = self.client_timeout
        state = BatchState(self.uuids, keep_going=keep_going)
        batch = BatchRun(worklist, worklist.entries, state, config, context)
        batch.run()
        return batch

    @property
    def statuses(self) -> list[str | None]:
        """Return the status of each recording in the worklist."""
        return [entry.get("status") for entry in self.written]

    @property
    def written(self) -> list[dict[str, Any]]:
        return json.loads(self.path.read_text())

    def _read_pool(self) -> PoolStatus:
        if not self.database_answers:
            raise DatabaseUnavailable("the database did not answer")
        devices = [f"cpu:{number}" for number in range(self.executors)]
        return PoolStatus(tuple(executor(device, dead=device in self.dead) for device in devices), {})

    def _check(self) -> None:
        if not self.stack_lives:
            raise StackError("the stack ended")

    def _pause(self, _seconds: float) -> None:
        self.looks += 1
        assert self.looks < 100, "the batch does not end"
        self.requests += self.stop_after.get(self.looks, 0)


def uuid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012}"


def executor(device: str, *, dead: bool = False) -> WorkerStatus:
    state = "dead" if dead else "idle"
    return WorkerStatus(device, "gpu", "host", 1, device, "tiny", state, None, None, 0, 1, None, 0.1)
