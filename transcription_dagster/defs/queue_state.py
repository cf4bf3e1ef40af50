"""The state of Dagster's run queue, for sensors that limit their requests."""

from __future__ import annotations

import dagster as dg

from transcription_dagster.dagster_api.values import ENDED_STATUSES, PARTITION_TAG, WAITING_STATUSES
from transcription_dagster.settings import Settings
from transcription_dagster.sources.discovery import room_for


def room(instance: dg.DagsterInstance, settings: Settings) -> int:
    """Return how many runs a sensor may request now."""
    waiting = instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus(each) for each in WAITING_STATUSES]))
    return room_for(waiting, requests_per_tick=settings.requests_per_tick, max_waiting_runs=settings.max_waiting_runs)


def recordings_in_flight(instance: dg.DagsterInstance) -> set[str]:
    """Return the recordings with an unfinished run of any job."""
    statuses = [status for status in dg.DagsterRunStatus if status.value not in ENDED_STATUSES]
    runs = instance.get_runs(dg.RunsFilter(statuses=statuses))
    return {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags}
