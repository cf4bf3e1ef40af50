"""Sensors that request runs for corrected and submitted recordings.

The senders of submitted recordings are notified of the outcome.
"""

from __future__ import annotations

import json
import time

import dagster as dg

from transcription_dagster.corrections import journal
from transcription_dagster.database import submissions
from transcription_dagster.database.connection import Engine
from transcription_dagster.defs.assets.correction import observation
from transcription_dagster.defs.failures import unless_unavailable
from transcription_dagster.defs.jobs import APPLY_CORRECTIONS
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.queue_state import room
from transcription_dagster.defs.resources import CatalogueResource
from transcription_dagster.errors import TranscriptionError
from transcription_dagster.settings import Settings
from transcription_dagster.sources.webhooks import send_outcome, wait_after, webhook_client

#: Corrections are saved with every pause in typing: wait for the last one.
QUIET_SECONDS = 60.0
#: Outcomes delivered per tick, and the time for them: Dagster ends a tick after 60 seconds.
_OUTCOMES, _DELIVERY_SECONDS = 50, 30.0


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
    return unless_unavailable(lambda: _corrections_tick(context, catalogue.engine, settings))


def _corrections_tick(context: dg.SensorEvaluationContext, engine: Engine, settings: Settings) -> dg.SensorResult:
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
    return unless_unavailable(lambda: _submissions_tick(context, catalogue.engine, settings))


def _submissions_tick(context: dg.SensorEvaluationContext, engine: Engine, settings: Settings) -> dg.SensorResult:
    # A stored cursor means that the last tick's runs were requested.
    submissions.note_requested(engine, json.loads(context.cursor or "[]"))
    _deliver_outcomes(context, engine, settings)
    found = submissions.waiting(engine, room(context.instance, settings))
    cursor = json.dumps(found)
    if not found:
        return dg.SensorResult(skip_reason="No recording was submitted.", cursor=cursor)
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"submitted:{recording}", partition_key=recording) for recording in found],
        dynamic_partitions_requests=[recordings.build_add_request(found)],
        cursor=cursor,
    )


def _deliver_outcomes(context: dg.SensorEvaluationContext, engine: Engine, settings: Settings) -> None:
    if settings.webhook_secret is None:
        return
    deadline = time.monotonic() + _DELIVERY_SECONDS
    with webhook_client(settings) as client:
        for outcome in submissions.outcomes(engine, _OUTCOMES):
            if time.monotonic() > deadline:
                return
            try:
                send_outcome(client, outcome, settings.webhook_secret.get_secret_value())
            except TranscriptionError as error:
                wait = wait_after(outcome.attempts)
                context.log.warning(f"{error}; {'it is given up' if wait is None else f'again after {wait}'}")
                if wait is not None:
                    submissions.record_failed_delivery(engine, outcome.recording, wait)
                    continue
            submissions.record_delivery(engine, outcome.recording)
