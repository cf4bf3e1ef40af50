"""The sensor that requests a run to apply people's corrections, a minute after the last one."""

from __future__ import annotations

import json

import dagster as dg

from transcription_dagster.corrections import journal
from transcription_dagster.database.connection import Engine
from transcription_dagster.defs.assets.correction import observation
from transcription_dagster.defs.failures import unless_unavailable
from transcription_dagster.defs.jobs import APPLY_CORRECTIONS
from transcription_dagster.defs.queue_state import room
from transcription_dagster.defs.resources import CatalogueResource
from transcription_dagster.settings import Settings

#: Corrections are saved with every pause in typing: wait for the last one.
QUIET_SECONDS = 60.0


@dg.sensor(
    job_name=APPLY_CORRECTIONS,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Observes recordings that people have corrected, and requests one run of `apply_corrections` for each, "
    "a minute after the last change. These runs do not transcribe or call Claude.",
)
def corrected_recordings(
    context: dg.SensorEvaluationContext, catalogue: CatalogueResource, settings: dg.ResourceParam[Settings]
) -> dg.SensorResult | dg.SkipReason:
    return unless_unavailable(lambda: _tick(context, catalogue.engine, settings))


def _tick(context: dg.SensorEvaluationContext, engine: Engine, settings: Settings) -> dg.SensorResult:
    # A stored cursor means that the last tick's runs were requested.
    journal.note_requested(engine, json.loads(context.cursor or "{}"))
    due = journal.due(engine, QUIET_SECONDS, room(context.instance, settings))
    cursor = json.dumps(due)
    if not due:
        return dg.SensorResult(skip_reason="No recording was corrected and left alone since.", cursor=cursor)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=f"{recording}:{version}", partition_key=recording)
            for recording, version in due.items()
        ],
        asset_events=[observation(recording, version) for recording, version in due.items()],
        cursor=cursor,
    )
