"""Carries a batch out: asks Dagster for runs, watches them, and writes what became of them into the worklist."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from transcription_dagster.cli.batch_patience import Silence, Stopping, Surroundings
from transcription_dagster.cli.batch_report import Outcome, Progress
from transcription_dagster.cli.batch_state import BatchState, Ending
from transcription_dagster.clients.dagster_values import (
    ACTIVE_STATUSES,
    WAITING_STATUSES,
    JobLocation,
    Run,
    RunRequest,
)
from transcription_dagster.errors import ServiceUnavailable, TransientError
from transcription_dagster.queueing.names import BATCH_TAG
from transcription_dagster.worklists import Entry, Worklist

JOB: Final = "transcribe_recordings"
PARTITIONS: Final = "recordings"

#: Seconds between two looks at Dagster.
_LOOK_SECONDS = 1.0
#: Twice what the executors take is asked for, so that Dagster's queue is never empty between two looks.
_AHEAD = 2
#: Runs asked for in one request.
_BULK = 20

_REASONS = {"canceled": "its run was terminated", "gone": "its run was deleted"}


@dataclass(frozen=True, slots=True)
class Orders:
    """How a batch is to be done."""

    #: Value of the tag that its runs carry.
    batch: str
    #: Run config of the job.
    config: Mapping[str, Any]
    #: Recordings in flight at once; None: what keeps the executors that are alive busy.
    threads: int | None
    runs_per_gpu: int
    #: Seconds that runs under way may take once the batch was asked to stop.
    shutdown_seconds: float


class BatchRun:
    """One batch, from the first run that is asked for to the last that ends."""

    def __init__(
        self, worklist: Worklist, entries: Iterable[Entry], state: BatchState, orders: Orders, around: Surroundings
    ) -> None:
        self._worklist = worklist
        self._entries = {entry.uuid: entry for entry in entries}
        self._state = state
        self._orders = orders
        self._around = around
        self._client = around.client
        self._job: JobLocation | None = None
        #: Whether runs may have been made that nobody told us of.
        self._unsure = False
        self._silence = Silence(around)
        self._stopping = Stopping(around, orders.shutdown_seconds)
        self._began = time.monotonic()
        self.outcomes: dict[str, Outcome] = {}

    def carry_out(self) -> None:
        """Return when nothing is in flight any more, or when the batch was asked a third time to stop.

        Raises `ServiceRefused` if Dagster cannot do such runs at all, `InvalidWorklist` if the file cannot be written,
        and what `Surroundings` raises when the stack is gone.
        """
        while not self._state.over and not self._stopping.given_up:
            self._stopping.listen(self._state)
            try:
                self._step()
            except TransientError as error:
                self._silence.goes_on(error)
            else:
                self._silence.ended()
            if not self._state.over:
                self._around.pause(_LOOK_SECONDS)

    def progress(self) -> Progress:
        """How far the batch is."""
        return Progress(
            total=len(self._entries),
            done=self._state.done,
            failed=self._state.failed,
            in_flight=len(self._state.in_flight),
            audio_seconds=sum(outcome.audio_seconds for outcome in self.outcomes.values()),
            elapsed=time.monotonic() - self._began,
        )

    def _step(self) -> None:
        pool = self._around.read_pool()
        job = self._find_job()
        if self._state.stopping:
            self._withdraw()
        self._submit(job, self._orders.threads or max(1, self._orders.runs_per_gpu * len(pool.alive("gpu")) * _AHEAD))
        self._collect()
        self._around.display.update([one for one in pool.workers if one.kind == "gpu"], self.progress())

    def _find_job(self) -> JobLocation:
        if self._job is None:
            job = self._client.find_job(JOB)
            # A batch that was killed left its runs to Dagster: they are watched, not repeated.
            self._adopt(self._client.runs(job=JOB, statuses=[*WAITING_STATUSES, *ACTIVE_STATUSES]))
            self._job = job
        return self._job

    def _adopt(self, runs: Iterable[Run]) -> None:
        """Take runs for ours that do the same work for a recording that waits here."""
        for run in runs:
            # A run that was never queued may be one that the web server could not finish making.
            alive = run.status not in ("NOT_STARTED", "CANCELING", "CANCELED")
            if alive and run.partition is not None and run.config == self._orders.config:
                self._state.launched({run.partition: run.id})

    def _withdraw(self) -> None:
        run_ids = self._state.to_withdraw(started=self._stopping.aborting)
        self._client.terminate(run_ids)
        self._state.withdrawn(run_ids)

    def _submit(self, job: JobLocation, limit: int) -> None:
        uuids = self._state.to_submit(limit)
        for start in range(0, len(uuids), _BULK):
            self._launch(job, uuids[start : start + _BULK])

    def _launch(self, job: JobLocation, uuids: list[str]) -> None:
        if self._unsure:
            self._adopt(self._client.runs(tags={BATCH_TAG: self._orders.batch}))
            uuids = [uuid for uuid in uuids if uuid in self._state.waiting]
        self._client.add_partitions(job, PARTITIONS, uuids)
        self._unsure = True
        tags = {BATCH_TAG: self._orders.batch}
        launched = self._client.launch(job, [RunRequest(uuid, tags, self._orders.config) for uuid in uuids])
        self._state.launched(launched)
        self._unsure = len(launched) < len(uuids)
        if self._unsure:
            raise ServiceUnavailable(f"Dagster could not make {len(uuids) - len(launched)} of {len(uuids)} runs")

    def _collect(self) -> None:
        if not self._state.in_flight:
            return
        runs = self._client.runs(ids=list(self._state.in_flight.values()))
        endings = self._state.endings(runs, time.time())
        try:
            for ending in endings:
                self._finish(ending)
        finally:
            if endings:
                self._worklist.save()

    def _finish(self, ending: Ending) -> None:
        if ending.kind == "withdrawn":
            self._state.end(ending)
            return
        # Dagster is asked before anything is noted: if it does not answer, the run is looked at again.
        outcome = self._outcome(ending)
        self._state.end(ending)
        self.outcomes[ending.uuid] = outcome
        now = datetime.now(UTC)
        if outcome.error is not None:
            self._worklist.record_failed(ending.uuid, outcome.error, now)
        else:
            self._worklist.record_done(
                ending.uuid, list(outcome.results.files.values()) if outcome.results else [], now
            )
        self._around.display.finished(outcome)

    def _outcome(self, ending: Ending) -> Outcome:
        entry = self._entries[ending.uuid]
        if ending.is_failure:
            reason = _REASONS.get(ending.kind) or self._client.failure(ending.run_id)
            return Outcome(entry, "failed", error=reason)
        return Outcome(entry, "done", results=self._client.results(ending.run_id))
