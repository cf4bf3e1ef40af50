"""The sensor that records failed recordings and their reasons in the database; a publication clears them."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from transcription_dagster.dagster_api.values import PARTITION_TAG, first_line
from transcription_dagster.database.recordings import record_failure
from transcription_dagster.defs.resources import CatalogueResource


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="Records in the database that a recording failed, and why, for `transcription worklist --failed`. The"
    " recording's next publication clears it.",
)
def failed_recordings(context: dg.RunFailureSensorContext, catalogue: CatalogueResource) -> dg.SkipReason | None:
    run = context.dagster_run
    recording = run.tags.get(PARTITION_TAG)
    if recording is None:
        return dg.SkipReason(f"The run {run.run_id} is of no recording.")
    if _was_published_since(context.instance, recording, _end_of(context.instance, run.run_id)):
        return dg.SkipReason(f"The recording {recording} was published after its run {run.run_id} failed.")
    record_failure(catalogue.engine, recording, run_failure_reason(context))
    return None


def run_failure_reason(context: dg.RunFailureSensorContext) -> str:
    """Return the first line of the failure's reason, preferably in the program's own words."""
    for event in context.get_step_failure_events():
        failure = event.step_failure_data
        if failure.user_failure_data and failure.user_failure_data.description:
            return first_line(failure.user_failure_data.description)
        error = failure.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None:
            return first_line(error.message)
    return first_line(context.failure_event.message or "") or "The run failed without a reason."


def _end_of(instance: dg.DagsterInstance, run_id: str) -> float:
    record = instance.get_run_record_by_id(run_id)
    ended = record.end_time if record else None
    return ended if ended is not None else datetime.now(UTC).timestamp()


def _was_published_since(instance: dg.DagsterInstance, recording: str, moment: float) -> bool:
    """Return whether a faster retry published the recording before this tick."""
    records = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey("publication"), asset_partitions=[recording], after_timestamp=moment
    )
    return bool(instance.fetch_materializations(records, limit=1).records)
