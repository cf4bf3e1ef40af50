"""A run worker: executes whole Dagster runs, one at a time, in a process that imported the definitions once."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, EventLogEntry
from dagster._core.execution.stats import StepEventStatus
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage

from transcription_dagster.dagster_api.values import SETTINGS_TAG
from transcription_dagster.database.connection import check_version, opened_database
from transcription_dagster.database.settings_documents import StoredSettings
from transcription_dagster.errors import DatabaseUnavailable, InvalidSetting, UnknownRun, WorkerUnfit, WorkTaken
from transcription_dagster.pool.inference_client import release_answers
from transcription_dagster.pool.run_launcher import cancel_requests
from transcription_dagster.pool.run_queue import (
    EXECUTE_RUN_TASK,
    HOUSEKEEPING_QUEUE,
    RUNS_QUEUE,
    JobClaim,
    RunQueue,
    is_valid,
)
from transcription_dagster.pool.work_queue import HeldWork, awake_clock
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.quick_imports import quick_imports
from transcription_dagster.settings import Settings
from transcription_dagster.workers.dagster_run import deferred_interrupts, execute_run
from transcription_dagster.workers.housekeeping import register_housekeeping
from transcription_dagster.workers.pool_worker import PoolWorker, SettingsWatch
from transcription_dagster.workers.work_loop import WorkInterrupted


class RunFence:
    """Checks before each event of the current run that this worker still holds its lease.

    For most events the check that the publisher makes every few seconds is recent enough. If it is older (the machine
    was suspended, or the database unavailable), the fence checks the queue itself.
    """

    def __init__(self, url: str, *, trusted_seconds: float) -> None:
        """A check counts for `trusted_seconds`: less than the time after which a silent worker loses its work."""
        self._url = url
        self._trusted_seconds = trusted_seconds
        self._run_id: str | None = None
        self._held: HeldWork[JobClaim] | None = None

    def guard(self, instance: DagsterInstance) -> None:
        """Check the lease before every run event that this instance stores."""
        store = instance.handle_new_event

        def store_if_ours(event: EventLogEntry, **named: Any) -> None:
            if event.run_id == self._run_id:
                self.check()
            store(event, **named)

        instance.handle_new_event = store_if_ours  # type: ignore[method-assign]

    def watch(self, run_id: str, held: HeldWork[JobClaim]) -> None:
        """Set the current run and its claim."""
        self._run_id, self._held = run_id, held

    def check(self) -> None:
        """Raise `WorkTaken` if another worker has the current run."""
        held = self._held
        if held is None:
            return
        now = awake_clock()
        if not held.lost and now - held.confirmed_at > self._trusted_seconds:
            held.lost = not is_valid(self._url, held.claim.lease)
            held.confirmed_at = now
        if held.lost:
            raise WorkTaken(f"the run {self._run_id} was given to another worker because this one sent no heartbeats")


logger = logging.getLogger(__name__)

#: Time limit of a statement of Dagster's storage in this process, which a run would wait for.
_STATEMENT_SECONDS = 60

_DONE = (StepEventStatus.SUCCESS, StepEventStatus.SKIPPED)


class RunWorker:
    """One slot of the pool for Dagster runs."""

    def __init__(self, settings: Settings, url: str, slot: str, stored: StoredSettings) -> None:
        self._url = url
        self._instance: DagsterInstance | None = None
        self.record = WorkerRecord(name=f"run-{slot}@{socket.gethostname()}", kind="run")
        queue = RunQueue(url, self.record, [RUNS_QUEUE, HOUSEKEEPING_QUEUE])
        self.pool = PoolWorker(settings, self.record, queue)
        self.pool.work.task(EXECUTE_RUN_TASK, self._execute)
        self._settings_tag = {SETTINGS_TAG: f"{stored.version}-{stored.digest[:12]}"}
        self._watch = SettingsWatch(url, stored.version, self.pool)
        register_housekeeping(self.pool, queue, settings, url)
        self._fence = RunFence(url, trusted_seconds=1.5 * settings.heartbeat_seconds)

    def serve(self) -> None:
        """Import the definitions, then execute runs until a stop signal.

        Raises `WrongDatabaseVersion` if the tables have another version, because its runs would fail one by one, and
        `InvalidSetting` if Dagster stores its runs outside the pool's database.
        """
        self._watch.start()
        self.pool.serve(prepare=self._load)

    def _load(self) -> None:
        if self._instance is not None:
            return
        # Imported once, before the first run.
        with quick_imports():
            import transcription_dagster.definitions  # noqa: F401  # pyright: ignore[reportUnusedImport]

        with opened_database(self._url) as engine:
            check_version(engine)
        instance = DagsterInstance.get()
        _refuse_other_storage(instance, self._url)
        # Our storage pools its connections anyway; this only sets the time limit.
        instance.optimize_for_webserver(_STATEMENT_SECONDS * 1000, pool_recycle=3600, max_overflow=4)
        self._fence.guard(instance)
        self._instance = instance

    async def _execute(self, held: HeldWork[JobClaim]) -> None:
        run_id = held.claim.arguments["run_id"]
        self._fence.watch(run_id, held)
        # No run starts with outdated settings: another worker takes it, or this worker's replacement.
        try:
            outdated = await asyncio.to_thread(self._watch.outdated)
        except DatabaseUnavailable as error:
            raise WorkInterrupted from error
        if outdated:
            raise WorkInterrupted
        await self._try_out(run_id)
        self.record.recording = run_id
        self.pool.show("busy")
        try:
            await self.pool.in_main_thread(lambda: self._run(run_id))
        except WorkTaken as error:
            logger.warning("%s: the work on it was stopped", error, extra={"action": "fenced"})
        except UnknownRun as error:
            self.record.last_error = str(error)
            raise
        finally:
            self.record.recording = None
            self.pool.show("idle")

    async def _try_out(self, run_id: str) -> None:
        """Return the run to the queue, and take no other, if its files cannot be written here."""
        try:
            await asyncio.to_thread(self.pool.try_scratch)
        except WorkerUnfit as error:
            message = f"Worker {self.record.name} cannot work, and returns the run to the queue: {error}"
            self.pool.unfit(error)
            await self.pool.in_main_thread(lambda: self._report(run_id, message))
            raise WorkInterrupted from error

    def _report(self, run_id: str, message: str) -> None:
        assert self._instance is not None  # noqa: S101  set by `_load` before the first job
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            self._instance.report_engine_event(message, run)

    def _run(self, run_id: str) -> None:
        assert self._instance is not None  # noqa: S101  set by `_load` before the first job
        run = self._instance.get_run_by_id(run_id)
        if run is None:
            raise UnknownRun(f"the run {run_id} is not in Dagster's storage: it was deleted after it was queued")
        if run.is_finished:
            return
        if run.status is DagsterRunStatus.CANCELING:
            self._instance.report_run_canceled(run, "The run was canceled before a worker could continue it.")
            cancel_requests(self._instance, self._url, run)
            return
        if run.status is DagsterRunStatus.STARTED:
            # Its worker died. The queue returned the job, but steps that are done must not run again in the same run.
            close_lost_run(self._instance, run)
            return
        self._instance.add_run_tags(run_id, self._settings_tag)
        with deferred_interrupts():
            execute_run(run_id, self._instance)
            self._fence.check()
            self._report_end(run)

    def _report_end(self, run: DagsterRun) -> None:
        """Report the end of a run that was interrupted before it could report it."""
        assert self._instance is not None  # noqa: S101
        latest = self._instance.get_run_by_id(run.run_id)
        if latest is None:
            return
        if latest.is_success:
            release_answers(self._url, latest.root_run_id or latest.run_id)
        if latest.is_finished:
            return
        if latest.status is DagsterRunStatus.CANCELING:
            self._instance.report_run_canceled(latest)
        else:
            self._instance.report_run_failed(latest, "The run was interrupted before it could finish.")


def _refuse_other_storage(instance: DagsterInstance, url: str) -> None:
    """Raise `InvalidSetting` unless the instance stores its runs and events in the database at `url`.

    A worker with a different storage would not find the pool's runs.
    """
    runs, events = instance.run_storage, instance.event_log_storage
    if not isinstance(runs, PostgresRunStorage) or not isinstance(events, PostgresEventLogStorage):
        storage = type(runs).__name__
    elif {runs.postgres_url, events.postgres_url} != {url}:
        storage = "another database"
    else:
        return
    raise InvalidSetting(
        f"Dagster's storage is {storage} instead of the database of TRANSCRIPTION_DATABASE_URL: DAGSTER_HOME has to be "
        "unset, or the folder `dagster` below TRANSCRIPTION_HOME with the dagster.yaml that this program writes"
    )


def close_lost_run(instance: DagsterInstance, run: DagsterRun) -> None:
    """Report the run as failed, so that Dagster retries it, or as successful if all its steps had ended.

    A retry of a run with all steps done has nothing to execute: Dagster refuses it, and the run would stay failed.
    """
    if _is_done(instance, run):
        message = "The worker that executed this run was lost after all steps were done."
        event = DagsterEvent(DagsterEventType.RUN_SUCCESS.value, job_name=run.job_name, message=message)
        instance.report_dagster_event(event, run_id=run.run_id)
    else:
        instance.report_run_failed(run, "The worker that executed this run was lost.")


def _is_done(instance: DagsterInstance, run: DagsterRun) -> bool:
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id or "")
    done = {step.step_key for step in instance.get_run_step_stats(run.run_id) if step.status in _DONE}
    return done.issuperset(plan.step_keys_to_execute)
