"""Forgetting as Dagster sees it: runs are ended, and no step writes of a recording that was forgotten."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg

from transcription_dagster.dagster_api.values import PARTITION_TAG
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.forgotten import check_not_forgotten
from transcription_dagster.errors import RecordingForgotten
from transcription_dagster.store.object_store import ObjectStore

_NOT_ENDED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.MANAGED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_POLL_SECONDS = 0.5


@contextmanager
def writing(engine: Engine, store: ObjectStore, recording: str, key: str) -> Iterator[None]:
    """Let the block write an object of a recording, and take it back if the recording was forgotten meanwhile.

    Raises `RecordingForgotten`, before or after the block.
    """
    check_not_forgotten(engine, recording)
    yield
    try:
        check_not_forgotten(engine, recording)
    except RecordingForgotten:
        store.delete(key)
        raise


def end_runs(instance: dg.DagsterInstance, recording: str, patience: float) -> Sequence[str]:
    """Cancel the recording's runs and wait until they have ended; return the ids of those that have not in time."""
    for run in _in_flight(instance, recording):
        instance.run_coordinator.cancel_run(run.run_id)
    deadline = time.monotonic() + patience
    while (left := _in_flight(instance, recording)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for run in left:
        # Whatever still works on it can write nothing any more, and finds its run canceled.
        instance.report_run_canceled(run)
    return [run.run_id for run in left]


def _in_flight(instance: dg.DagsterInstance, recording: str) -> Sequence[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: recording}, statuses=_NOT_ENDED))
