"""The sensor for Message Batches: starts the exchange, and the runs that use the answers."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from transcription_dagster.dagster_api.values import ENDED_STATUSES
from transcription_dagster.database.connection import Engine
from transcription_dagster.defs.failures import unless_unavailable
from transcription_dagster.defs.jobs import exchange_refinements, refine_again
from transcription_dagster.defs.queue_state import room
from transcription_dagster.defs.resources import CatalogueResource
from transcription_dagster.errors import RefinementUnavailable
from transcription_dagster.refinement.claude import connect
from transcription_dagster.refinement.message_batches import batch_store, request_store
from transcription_dagster.refinement.message_batches.client import ClaudeBatches
from transcription_dagster.refinement.message_batches.request_store import Queue
from transcription_dagster.refinement.message_batches.workflow import has_ended, recover
from transcription_dagster.settings import Settings

_INTERVAL_SECONDS = 60
#: Seconds for polling batches: Dagster ends a tick after 60 s.
_POLL_SECONDS = 10.0
#: Pause after a failed exchange.
_PAUSE_AFTER_FAILURE = timedelta(minutes=10)


@dg.sensor(
    jobs=[refine_again, exchange_refinements],
    minimum_interval_seconds=_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Submits waiting recordings in a Message Batch once enough of them wait or one has waited long "
    "enough, and requests a run of `refine_again` for each answered recording.",
)
def refinement_batches(
    context: dg.SensorEvaluationContext, catalogue: CatalogueResource, settings: dg.ResourceParam[Settings]
) -> dg.SensorResult | dg.SkipReason:
    return unless_unavailable(lambda: _tick(context, catalogue.engine, settings))


def is_due(queue: Queue, settings: Settings) -> bool:
    """Return whether the waiting recordings are due for submission."""
    waited_long = queue.oldest_seconds >= settings.claude_batch_minutes * 60
    return queue.recordings >= settings.claude_batch_recordings or (queue.recordings > 0 and waited_long)


def _tick(context: dg.SensorEvaluationContext, engine: Engine, settings: Settings) -> dg.SensorResult:
    # The stored cursor shows that Dagster accepted the last tick's run requests.
    request_store.record_runs(engine, _from_cursor(context.cursor))
    answered = request_store.to_use(engine, room(context.instance, settings))
    requests = [
        dg.RunRequest(run_key=f"{recording}:{when.isoformat()}", job_name=refine_again.name, partition_key=recording)
        for recording, when in answered.items()
    ]
    if _may_exchange(context.instance) and _has_to_exchange(context, engine, settings):
        requests.append(dg.RunRequest(job_name=exchange_refinements.name))
    cursor = json.dumps({recording: when.isoformat() for recording, when in answered.items()})
    if not requests:
        return dg.SensorResult(skip_reason="No batch is due for submission, and no answer has arrived.", cursor=cursor)
    return dg.SensorResult(run_requests=requests, cursor=cursor)


def _from_cursor(cursor: str | None) -> Mapping[str, datetime]:
    return {recording: datetime.fromisoformat(when) for recording, when in json.loads(cursor or "{}").items()}


def _may_exchange(instance: dg.DagsterInstance) -> bool:
    """Return False while the exchange job runs, and for a while after it failed."""
    newest = instance.get_run_records(dg.RunsFilter(job_name=exchange_refinements.name), limit=1)
    if not newest:
        return True
    status, ended = newest[0].dagster_run.status, newest[0].end_time
    if status.value not in ENDED_STATUSES:
        return False
    failed_at = datetime.fromtimestamp(ended, UTC) if ended and status is dg.DagsterRunStatus.FAILURE else None
    return failed_at is None or datetime.now(UTC) - failed_at >= _PAUSE_AFTER_FAILURE


def _has_to_exchange(context: dg.SensorEvaluationContext, engine: Engine, settings: Settings) -> bool:
    if is_due(request_store.queue(engine), settings):
        return True
    if not batch_store.pending(engine) and not batch_store.unconfirmed(engine):
        return False
    claude = connect(retries=0, timeout=_POLL_SECONDS)
    try:
        batches = None if claude is None else ClaudeBatches(claude)
        return batches is not None and (has_ended(engine, batches) or recover(engine, batches))
    except RefinementUnavailable as error:
        context.log.warning(f"Could not ask how far the batches are: {error}")
        return False
