"""The sensor for recordings submitted over the API: requests their runs and notifies their senders of the outcome."""

from __future__ import annotations

import json
import time

import dagster as dg

from transcription_dagster.database import submissions
from transcription_dagster.database.connection import Engine
from transcription_dagster.defs.failures import unless_unavailable
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.queue_state import room
from transcription_dagster.defs.resources import CatalogueResource
from transcription_dagster.errors import TranscriptionError
from transcription_dagster.settings import Settings
from transcription_dagster.sources.webhooks import tell, wait_after, webhook_client

#: Outcomes delivered per tick, and the time for them: Dagster ends a tick after 60 seconds.
_OUTCOMES, _TELLING_SECONDS = 50, 30.0


@dg.sensor(
    job_name="transcribe_recordings",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a run of `transcribe_recordings` for each recording that another program submitted, and "
    "calls its webhook when it is published or has failed.",
)
def submitted_recordings(
    context: dg.SensorEvaluationContext, catalogue: CatalogueResource, settings: dg.ResourceParam[Settings]
) -> dg.SensorResult | dg.SkipReason:
    return unless_unavailable(lambda: _tick(context, catalogue.engine, settings))


def _tick(context: dg.SensorEvaluationContext, engine: Engine, settings: Settings) -> dg.SensorResult:
    # A stored cursor means that the last tick's runs were requested.
    submissions.note_requested(engine, json.loads(context.cursor or "[]"))
    _tell_outcomes(context, engine, settings)
    found = submissions.waiting(engine, room(context.instance, settings))
    cursor = json.dumps(found)
    if not found:
        return dg.SensorResult(skip_reason="No recording was submitted.", cursor=cursor)
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"submitted:{recording}", partition_key=recording) for recording in found],
        dynamic_partitions_requests=[recordings.build_add_request(found)],
        cursor=cursor,
    )


def _tell_outcomes(context: dg.SensorEvaluationContext, engine: Engine, settings: Settings) -> None:
    if settings.webhook_secret is None:
        return
    deadline = time.monotonic() + _TELLING_SECONDS
    with webhook_client(settings) as client:
        for outcome in submissions.outcomes(engine, _OUTCOMES):
            if time.monotonic() > deadline:
                return
            try:
                tell(client, outcome, settings.webhook_secret.get_secret_value())
            except TranscriptionError as error:
                wait = wait_after(outcome.attempts)
                context.log.warning(f"{error}; {'it is given up' if wait is None else f'again after {wait}'}")
                if wait is not None:
                    submissions.note_untold(engine, outcome.recording, wait)
                    continue
            submissions.note_told(engine, outcome.recording)
