"""Dagster's run launcher for the pool: launching a run queues a job on `runs` and starts no process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._config.config_schema import UserConfigSchema
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import PRIORITY_TAG, ROOT_RUN_ID_TAG
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from procrastinate.exceptions import AlreadyEnqueued

from transcription_dagster.pool.connection import database_errors, job_app, open_connection, patiently
from transcription_dagster.pool.inference_client import cancel_requests_of_run
from transcription_dagster.pool.liveness import LivenessMonitor
from transcription_dagster.pool.run_queue import EXECUTE_RUN_TASK, RUNS_QUEUE, run_job_key
from transcription_dagster.pool.status import RunJob, find_run_job
from transcription_dagster.settings import load_settings

#: Seconds between the run monitor's polls, as set in `dagster.yaml`.
_MONITOR_SECONDS = 5.0

#: Statuses of unfinished runs that have not been canceled.
_UNFINISHED = [status for status in NOT_FINISHED_STATUSES if status is not DagsterRunStatus.CANCELING]


class WorkerPoolRunLauncher(RunLauncher, ConfigurableClass):
    """Queues runs for the run workers, and reports their health from the workers' heartbeats."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        settings = load_settings()
        self._url = settings.require_database_url()
        self._liveness = LivenessMonitor(
            stale_seconds=settings.stale_seconds,
            beat_seconds=settings.heartbeat_seconds,
            poll_seconds=_MONITOR_SECONDS,
        )
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> WorkerPoolRunLauncher:
        return cls(inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Queue the run. The job's key is the run's id: launching it twice queues it once."""
        run = context.dagster_run
        job_id = self._queue(run)
        if job_id is not None:
            self._instance.report_engine_event(
                f"Queued for the run workers as job {job_id}.",
                run,
                EngineEventData({"job": job_id}),
                cls=self.__class__,
            )

    @patiently
    def _queue(self, run: DagsterRun) -> int | None:
        key = run_job_key(run.run_id)
        with database_errors(), open_connection(self._url) as connection:
            task = job_app.configure_task(
                EXECUTE_RUN_TASK,
                allow_unknown=True,
                queue=RUNS_QUEUE,
                queueing_lock=key,
                lock=key,
                priority=_priority(run),
                connection=connection,
            )
            try:
                return task.defer(run_id=run.run_id)
            except AlreadyEnqueued:
                return None

    def terminate(self, run_id: str) -> bool:
        """Cancel the run, whether it waits for a worker, is executing, or waits for a GPU.

        The worker of an executing run reports its end; if that worker is dead, the run monitor does.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        if not self._cancel(run):
            self._instance.report_run_canceled(run)
        return True

    @patiently
    def _cancel(self, run: DagsterRun) -> bool:
        """Cancel the run's job and its inference requests; return True if a worker will report the run's end."""
        with database_errors():
            job = self._find(run.run_id)
            if job is not None and job.status in ("todo", "doing"):
                # Comes before its requests: if a step saw its request canceled first, the run would fail.
                with open_connection(self._url) as connection:
                    job_app.job_manager.cancel_job_by_id(job.id, abort=True, connection=connection)
                # A worker may have claimed the job before it was canceled.
                job = self._find(run.run_id)
            cancel_requests(self._instance, self._url, run)
        return job is not None and job.status == "doing"

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Report the health of the run's worker. The run monitor fails a run whose status is not RUNNING."""
        job = self._find(run.run_id)
        dead = job is not None and job.heartbeat is not None and bool(self._liveness.observe([job.heartbeat]))
        return _health(run, job, dead=dead)

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        job = self._find(run.run_id)
        if job is None:
            return "The queue holds no job of this run."
        return f"Job {job.id} is {job.status}" + (f" on {job.worker}." if job.worker else ".")

    def _find(self, run_id: str) -> RunJob | None:
        with database_errors(), open_connection(self._url) as connection:
            return find_run_job(connection, run_id)


def _health(run: DagsterRun, job: RunJob | None, *, dead: bool) -> CheckRunHealthResult:
    if job is None:
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the queue holds no job of this run")
    if dead:
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"worker {job.worker or '(gone)'} fell silent", run_worker_id=job.worker
        )
    if job.status in ("todo", "doing"):
        # Another worker will claim the requeued job and report the run's final status.
        return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=job.worker)
    if run.status is DagsterRunStatus.STARTED:
        return CheckRunHealthResult(WorkerStatus.FAILED, f"its job ended ({job.status}), but the run did not")
    return CheckRunHealthResult(WorkerStatus.SUCCESS)


def _priority(run: DagsterRun) -> int:
    try:
        return int(run.tags.get(PRIORITY_TAG, "0"))
    except ValueError:
        return 0


def cancel_requests(instance: DagsterInstance, url: str, run: DagsterRun) -> None:
    """Cancel the inference requests of a canceled run, unless another run of its group may need them."""
    root = run.root_run_id or run.run_id
    unfinished = [
        *instance.get_runs(RunsFilter(tags={ROOT_RUN_ID_TAG: root}, statuses=_UNFINISHED)),
        *instance.get_runs(RunsFilter(run_ids=[root], statuses=_UNFINISHED)),
    ]
    if all(other.run_id == run.run_id for other in unfinished):
        cancel_requests_of_run(url, root)
