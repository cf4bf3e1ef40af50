"""Run a batch: submit runs to Dagster for its executors, follow them, and write their results into the worklist."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from transcription_dagster.cli.batch.executors import ExecutorShare
from transcription_dagster.cli.batch.report import Display, Progress, RecordingOutcome
from transcription_dagster.cli.batch.state import BatchState, Ending
from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster.dagster_api.values import (
    ACTIVE_STATUSES,
    BATCH_TAG,
    WAITING_STATUSES,
    JobLocation,
    Run,
    RunRequest,
)
from transcription_dagster.errors import TransientError
from transcription_dagster.pool.devices import ANY_GPU, GPU_TAG
from transcription_dagster.pool.status import PoolStatus
from transcription_dagster.sources.worklist_entries import JOBS, Entry
from transcription_dagster.sources.worklists import WorklistResults

PARTITIONS: Final = "recordings"

#: Seconds between polls of Dagster.
_POLL_SECONDS = 1.0

#: Jobs of an entry that names none: the second is for a recording whose transcript was imported.
_TRANSCRIBE, _REFINE = "transcribe", "refine"

_REASONS = {"canceled": "its run was terminated", "gone": "its run was deleted"}


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """Configuration of a batch."""

    #: Value of the tag that its runs carry.
    batch: str
    #: Run config of `transcribe_recordings`; the other jobs take none.
    run_config: Mapping[str, Any]
    #: Executors that may work on the batch; None: all.
    threads: int | None
    runs_per_gpu: int
    #: Seconds that running runs may take once the batch was asked to stop.
    shutdown_seconds: float


#: Longest outage (s) to wait through; a restart of the database or the web server takes less.
_PATIENCE_SECONDS = 300.0
#: Seconds that canceled runs may take to end.
_ABORT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What a batch depends on: the web server, the pool, the display, and requests to stop."""

    client: DagsterClient
    #: Raises `DatabaseUnavailable`.
    read_pool: Callable[[], PoolStatus]
    #: Raises if the stack is gone for good.
    check_stack: Callable[[], None]
    #: Returns how often the batch was asked to stop.
    stop_requests: Callable[[], int]
    #: Waits for a number of seconds, or until the first request to stop.
    pause: Callable[[float], object]
    display: Display


class OutageTimer:
    """Measures an outage of the stack, and ends the batch when it lasts too long."""

    def __init__(self, context: BatchContext) -> None:
        self._context = context
        self._since: float | None = None

    def ended(self) -> None:
        """Record that the stack answered."""
        self._since = None

    def continues(self, error: TransientError) -> None:
        """Record a failure to answer; raises `error` after too long an outage, and what `check_stack` raises."""
        self._context.check_stack()
        if self._since is None:
            self._since = time.monotonic()
            self._context.display.note(f"{error}; waiting for it")
        elif time.monotonic() - self._since > _PATIENCE_SECONDS:
            raise error


class ShutdownController:
    """Stops a batch: the first request lets runs finish, the second cancels them, the third gives up."""

    def __init__(self, context: BatchContext, shutdown_seconds: float) -> None:
        self._context = context
        self._shutdown_seconds = shutdown_seconds
        self._asked_at: float | None = None
        self._aborted_at: float | None = None

    @property
    def aborting(self) -> bool:
        """Return True if running runs are to be canceled."""
        return self._aborted_at is not None

    @property
    def ends_now(self) -> bool:
        """Return True if the batch is to end at once."""
        aborted_long_ago = self._aborted_at is not None and time.monotonic() - self._aborted_at > _ABORT_SECONDS
        return aborted_long_ago or self._context.stop_requests() > 2

    def listen(self, state: BatchState) -> None:
        """Check for requests to stop, and update `state`."""
        now, requests = time.monotonic(), self._context.stop_requests()
        if requests > 0 and self._asked_at is None:
            self._asked_at = now
            state.stop()
            self._context.display.note(
                "Stopping after the recordings in progress. Press Ctrl+C again to stop immediately."
            )
        overdue = self._asked_at is not None and now - self._asked_at > self._shutdown_seconds
        if (overdue or requests > 1) and self._aborted_at is None:
            self._aborted_at = now
            self._context.display.note("Canceling the runs in progress; their recordings stay waiting.")


class BatchRun:
    """One batch, from the first submitted run to the end of the last."""

    def __init__(
        self,
        worklist: WorklistResults,
        entries: Iterable[Entry],
        state: BatchState,
        config: BatchConfig,
        context: BatchContext,
    ) -> None:
        self._worklist = worklist
        self._entries = {entry.uuid: entry for entry in entries}
        self._state = state
        self._config = config
        self._context = context
        self._client = context.client
        #: Each recording's job, by its name in worklists, where known.
        self._job_of = {entry.uuid: entry.job for entry in self._entries.values() if entry.job is not None}
        self._locations: dict[str, JobLocation] = {}
        self._share = ExecutorShare(config.threads, config.runs_per_gpu)
        self._pins: dict[str, str] = {}
        #: The requests that were sent and not confirmed, by recording. Repeated as they are, they give the same run.
        self._unconfirmed: dict[str, RunRequest] = {}
        self._outage = OutageTimer(context)
        self._stopping = ShutdownController(context, config.shutdown_seconds)
        self._began = time.monotonic()
        self.outcomes: dict[str, RecordingOutcome] = {}

    def run(self) -> None:
        """Run until no run is in flight, or until the third request to stop.

        Raises `ServiceRefused` if Dagster cannot launch such runs, `StackError` if `threads` allows none of the pool's
        executors, and what `BatchContext` raises when the stack is gone.
        """
        while not self._over and not self._stopping.ends_now:
            self._stopping.listen(self._state)
            try:
                self._step()
            except TransientError as error:
                self._outage.continues(error)
            else:
                self._outage.ended()
            if not self._over:
                self._context.pause(_POLL_SECONDS)

    @property
    def _over(self) -> bool:
        # Even a batch that stops has to know the runs that it may have launched.
        return self._state.over and not self._unconfirmed

    def progress(self) -> Progress:
        """Return the progress of the batch."""
        return Progress(
            total=len(self._entries),
            done=self._state.done,
            failed=self._state.failed,
            in_flight=len(self._state.in_flight),
            audio_seconds=sum(outcome.audio_seconds for outcome in self.outcomes.values()),
            elapsed=time.monotonic() - self._began,
        )

    def _step(self) -> None:
        pool = self._context.read_pool()
        self._find_jobs()
        stranded = self._share.update(pool, time.monotonic())
        if self._state.stopping:
            self._find_unconfirmed()
            self._cancel(self._state.to_cancel(started=self._stopping.aborting))
        else:
            self._cancel(stranded)
        self._submit()
        self._collect()
        self._share.in_flight({run: self._pins.get(run, ANY_GPU) for run in self._state.in_flight.values()})
        self._context.display.update([worker for worker in pool.workers if worker.kind == "gpu"], self.progress())

    def _find_jobs(self) -> None:
        """Find the jobs that the entries need, and adopt the runs that a killed batch left in Dagster."""
        if self._locations:
            return
        named = {entry.job for entry in self._entries.values()}
        needed = [name for name in JOBS if name in named or (None in named and name in (_TRANSCRIBE, _REFINE))]
        locations = {name: self._client.find_job(JOBS[name]) for name in needed}
        for name in needed:
            runs = self._client.runs(job=JOBS[name], statuses=[*WAITING_STATUSES, *ACTIVE_STATUSES])
            self._adopt(runs, name)
        self._locations = locations

    def _adopt(self, runs: Iterable[Run], job: str | None = None) -> None:
        """Adopt runs that do the same work for a waiting recording; `job`: only if it is the recording's job."""
        # A run that was never queued may be one that the web server did not finish creating.
        alive = [run for run in runs if run.status not in ("NOT_STARTED", "CANCELING", "CANCELED")]
        ours = {run.partition: run for run in reversed(alive) if run.partition in self._state.waiting}
        jobs = self._jobs([uuid for uuid in ours if uuid is not None])
        for uuid, run in ours.items():
            if uuid is not None and job in (None, jobs[uuid]) and run.config == self._run_config(jobs[uuid]):
                self._state.launched({uuid: run.id})
                self._pins[run.id] = run.tags.get(GPU_TAG, ANY_GPU)

    def _jobs(self, uuids: Sequence[str]) -> Mapping[str, str]:
        """Return each recording's job; by default it is transcribed, unless its transcript was imported."""
        unknown = [uuid for uuid in uuids if uuid not in self._job_of]
        if unknown:
            imported = self._client.imported_transcripts(unknown)
            self._job_of |= {uuid: _REFINE if uuid in imported else _TRANSCRIBE for uuid in unknown}
        return {uuid: self._job_of[uuid] for uuid in uuids}

    def _run_config(self, job: str) -> Mapping[str, Any]:
        return self._config.run_config if job == _TRANSCRIBE else {}

    def _cancel(self, run_ids: list[str]) -> None:
        self._client.terminate(run_ids)
        self._state.cancel_requested(run_ids)

    def _submit(self) -> None:
        uuids = self._state.to_submit(self._share.limit)
        jobs = self._jobs(uuids)
        for uuid, tags in zip(uuids, self._share.tags(len(uuids)), strict=True):
            if uuid not in self._unconfirmed:
                tags = {BATCH_TAG: self._config.batch, **tags}
                self._unconfirmed[uuid] = RunRequest(uuid, tags, self._run_config(jobs[uuid]))
        for job in dict.fromkeys(jobs.values()):
            self._launch(self._locations[job], [self._unconfirmed[uuid] for uuid in uuids if jobs[uuid] == job])

    def _launch(self, location: JobLocation, requests: Sequence[RunRequest]) -> None:
        self._client.add_partitions(location, PARTITIONS, [request.partition for request in requests])
        for launched in self._client.launch(location, requests):
            self._state.launched(launched)
            for uuid, run_id in launched.items():
                self._pins[run_id] = self._unconfirmed.pop(uuid).tags.get(GPU_TAG, ANY_GPU)

    def _find_unconfirmed(self) -> None:
        """Adopt the runs that exist of launches that were not confirmed; the batch launches none of them again."""
        if self._unconfirmed:
            self._adopt(self._client.runs(tags={BATCH_TAG: self._config.batch}))
            self._unconfirmed.clear()

    def _collect(self) -> None:
        if not self._state.in_flight:
            return
        runs = self._client.runs(ids=list(self._state.in_flight.values()))
        endings = self._state.endings(runs, time.time())
        try:
            for ending in endings:
                self._finish(ending)
        finally:
            self._worklist.save()

    def _finish(self, ending: Ending) -> None:
        if ending.kind == "canceled by batch":
            self._state.end(ending)
            return
        # Query Dagster before recording anything: if it does not answer, the next poll handles the run.
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
        self._context.display.finished(outcome)

    def _outcome(self, ending: Ending) -> RecordingOutcome:
        entry = self._entries[ending.uuid]
        if ending.is_failure:
            reason = _REASONS.get(ending.kind) or self._client.failure(ending.run_id)
            return RecordingOutcome(entry, "failed", error=reason)
        return RecordingOutcome(entry, "done", results=self._client.results(ending.run_id))
