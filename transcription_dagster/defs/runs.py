"""Dagster's runs: how many a sensor may request, which recordings have one, and ending those of a forgotten one."""

from __future__ import annotations

import time
from collections.abc import Sequence

import dagster as dg

from transcription_dagster.dagster_api.values import ENDED_STATUSES, PARTITION_TAG, WAITING_STATUSES
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.run_history import remove_jobs, runs_with_jobs
from transcription_dagster.pool.run_queue import run_job_key
from transcription_dagster.settings import Settings
from transcription_dagster.sources.discovery import capacity_for

_POLL_SECONDS = 0.5


def capacity(instance: dg.DagsterInstance, settings: Settings) -> int:
    """Return how many runs a sensor may request now."""
    waiting = instance.get_runs_count(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus(status) for status in WAITING_STATUSES])
    )
    return capacity_for(
        waiting, requests_per_tick=settings.requests_per_tick, max_waiting_runs=settings.max_waiting_runs
    )


def recordings_in_flight(instance: dg.DagsterInstance) -> set[str]:
    """Return the recordings with an unfinished run of any job."""
    statuses = [status for status in dg.DagsterRunStatus if status.value not in ENDED_STATUSES]
    runs = instance.get_runs(dg.RunsFilter(statuses=statuses))
    return {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags}


def end_runs(
    instance: dg.DagsterInstance, engine: Engine, recording: str, *, patience: float, fence_seconds: float
) -> None:
    """Cancel the recording's runs, and return once none of them can write another event.

    A run that has not ended after `patience` seconds, because its worker hangs or died, loses its job. Within
    `fence_seconds` its worker checks the queue again and then rejects every further event of the run.
    """
    for run in _runs(instance, recording):
        if not run.is_finished:
            instance.run_coordinator.cancel_run(run.run_id)
    deadline = time.monotonic() + patience
    while active := _active_runs(instance, engine, recording):
        if time.monotonic() > deadline:
            remove_jobs(engine, [run_job_key(run.run_id) for run in active])
            time.sleep(fence_seconds)
            for run in active:
                if not run.is_finished:
                    instance.report_run_canceled(run)
            return
        time.sleep(_POLL_SECONDS)


def _active_runs(instance: dg.DagsterInstance, engine: Engine, recording: str) -> Sequence[dg.DagsterRun]:
    """Return the runs that have not ended or that a worker still executes, whatever their status in Dagster."""
    runs = _runs(instance, recording)
    held = runs_with_jobs(engine, [run_job_key(run.run_id) for run in runs])
    return [run for run in runs if not run.is_finished or run_job_key(run.run_id) in held]


def _runs(instance: dg.DagsterInstance, recording: str) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: recording}))
