"""Dagster's run queue with limits that follow the pool: as many GPU runs in flight as keep its executors busy."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from dagster import DagsterRun, DagsterRunStatus, QueuedRunCoordinator, SubmitRunContext
from dagster._config.config_schema import UserConfigSchema
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._core.storage.tags import MAX_RETRIES_TAG
from dagster._serdes import ConfigurableClassData

from transcription_dagster.errors import DatabaseUnavailable, InvalidGpu
from transcription_dagster.pool.devices import ANY_GPU, CPU_EXECUTORS, GPU_TAG, GPUS, checked_pin, pinned_device
from transcription_dagster.pool.status import PoolReader, PoolStatus
from transcription_dagster.settings import load_settings

logger = logging.getLogger(__name__)

#: Seconds between the daemon's polls of the queue: the shortest interval that its loop supports.
DEQUEUE_SECONDS = 0.5

#: Held while a run is queued. One for all coordinators: two requests at once may each create the instance's own.
_QUEUEING = threading.Lock()


class GpuRunCoordinator(QueuedRunCoordinator):
    """Tags runs that need a GPU, and launches as many runs as the live workers and executors can take."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data=inst_data)
        settings = load_settings()
        self._url = settings.require_database_url()
        self._runs_for = settings.runs_for
        self._pool = PoolReader(stale_seconds=settings.stale_seconds, beat_seconds=settings.heartbeat_seconds)
        self._last_logged: str | None = None

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> GpuRunCoordinator:
        return cls(inst_data=inst_data)

    @property
    def dequeue_interval_seconds(self) -> float:  # type: ignore[override]  # Dagster declares whole seconds, and takes any number
        return DEQUEUE_SECONDS

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Queue the run, tagged `transcription/gpu` if a step of its plan needs a GPU; do nothing if it is queued.

        Raises `InvalidGpu` for a run pinned to a GPU that no executor serves.
        """
        # The web server may work on a launch and on its repetition at once. A run that was queued twice could start
        # in between, and would start again.
        with _QUEUEING:
            run = self._instance.get_run_by_id(context.dagster_run.run_id)
            if run is None or run.status != DagsterRunStatus.NOT_STARTED:
                return run or context.dagster_run
            return self._queue(context._replace(dagster_run=run))

    def _queue(self, context: SubmitRunContext) -> DagsterRun:
        run = context.dagster_run
        requested = (run.tags or {}).get(GPU_TAG)
        tag = requested
        if requested is not None:
            tag = self._checked_pin(run.run_id, requested)
        elif self._needs_gpu(run):
            tag = ANY_GPU
        if tag is not None and tag != requested:
            self._instance.add_run_tags(run.run_id, {GPU_TAG: tag})
            context = context._replace(dagster_run=run.with_tags({**(run.tags or {}), GPU_TAG: tag}))
        return super().submit_run(context)

    def _checked_pin(self, run_id: str, requested: str) -> str:
        # Includes devices of executors that died recently: one may be restarting.
        workers = self._pool.read(self._url).workers
        devices = {pinned_device(worker.device) for worker in workers if worker.kind == "gpu" and worker.device}
        try:
            return checked_pin(requested, devices)
        except InvalidGpu:
            # Dagster would report the run as failed and retry it, and the retry would be refused again.
            self._instance.add_run_tags(run_id, {MAX_RETRIES_TAG: "0"})
            raise

    def get_run_queue_config(self) -> RunQueueConfig:
        """Return the limits for this poll of the queue."""
        try:
            pool = self._pool.read(self._url)
        except DatabaseUnavailable as error:
            self._log_once(f"Cannot read the pool, so nothing is launched: {error}")
            return queue_limits(PoolStatus((), {}), self._runs_for)
        executors, workers = len(pool.alive("gpu")), len(pool.alive("run"))
        self._log_once(f"{workers} run workers and {executors} executors are alive.")
        return queue_limits(pool, self._runs_for)

    def _needs_gpu(self, run: DagsterRun) -> bool:
        if run.execution_plan_snapshot_id is None:
            return False
        plan = self._instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
        to_execute = set(plan.step_keys_to_execute)
        return any(step.key in to_execute and GPU_TAG in (step.tags or {}) for step in plan.steps)

    def _log_once(self, message: str) -> None:
        """Log a message once instead of with every poll."""
        if message != self._last_logged:
            logger.info(message)
            self._last_logged = message


def queue_limits(pool: PoolStatus, runs_for: Callable[[str], int]) -> RunQueueConfig:
    """Limit launched runs to the live run workers, and GPU runs to `runs_for` the device of each live executor.

    A limit of zero keeps runs in the queue: without executors, GPU runs stay QUEUED and other runs proceed.
    """
    executors = pool.alive("gpu")
    limits: Counter[str] = Counter()
    for worker in executors:
        limits[pinned_device(worker.device or "")] += runs_for(worker.device or "")
    # A limit of zero holds back runs pinned to a device whose executor is missing.
    pinned = [
        {"key": GPU_TAG, "value": device, "limit": limits[device]}
        for device in sorted({*limits, *GPUS, *CPU_EXECUTORS})
    ]
    return RunQueueConfig(
        max_concurrent_runs=len(pool.alive("run")),
        tag_concurrency_limits=[{"key": GPU_TAG, "limit": limits.total()}, *pinned],
    )
