"""Message Batches in Dagster: the jobs that queue recordings and exchange batches, and the sensor that starts them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from transcription_dagster.dagster_api.values import ENDED_STATUSES
from transcription_dagster.database.connection import Engine
from transcription_dagster.defs.failures import reported_failures, unless_unavailable
from transcription_dagster.defs.resources import CatalogueResource, StoreResource
from transcription_dagster.defs.runs import capacity
from transcription_dagster.defs.stored_values import stored_value
from transcription_dagster.errors import RefinementFailed, RefinementUnavailable
from transcription_dagster.refinement.claude import ClaudeBatches, connect
from transcription_dagster.refinement.message_batches import batch_store
from transcription_dagster.refinement.message_batches.batch_store import Queue, exchange_lock
from transcription_dagster.refinement.message_batches.workflow import (
    RefinementInput,
    collect_ended,
    has_ended,
    recover,
    submit_waiting,
)
from transcription_dagster.refinement.results import RefinementSettings
from transcription_dagster.settings import Settings

_INTERVAL_SECONDS = 60
#: Seconds for polling batches: Dagster ends a tick after 60 s.
_POLL_SECONDS = 10.0
#: Pause after a failed exchange.
_PAUSE_AFTER_FAILURE = timedelta(minutes=10)

#: The assets made from a recording's refined text.
REFINED = dg.AssetSelection.assets("refined_txt").downstream()

refine_again = dg.define_asset_job(
    "refine_again",
    selection=REFINED,
    description="Makes the refined text of a recording and everything after it from Claude's answers in a Message "
    "Batch. A sensor requests this job when they arrive.",
)

request_refinement = dg.define_asset_job(
    "request_refinement",
    selection=dg.AssetSelection.assets("refinement_request"),
    description="Queues a recording for the next Message Batch; `refine_again` follows automatically.",
)


@dg.op(description="Submit the recordings that wait for a Message Batch, and collect the answers.")
def exchange(
    context: dg.OpExecutionContext,
    catalogue: CatalogueResource,
    store: StoreResource,
    settings: dg.ResourceParam[Settings],
) -> None:
    def input_of(recording: str) -> RefinementInput:
        return RefinementInput(stored_value(store.open(), "conversation", recording), *catalogue.terms(recording))

    with reported_failures(), exchange_lock(catalogue.engine) as is_alone:
        if not is_alone:
            context.log.info("Another run is already exchanging batches.")
            return
        # Retries by the SDK could submit the same batch twice; the step's own retry checks first.
        claude = connect(retries=0)
        if claude is None:
            raise RefinementFailed("there are no credentials for Claude")
        batches = ClaudeBatches(claude)
        for batch in collect_ended(catalogue.engine, batches):
            context.log.info(f"Collected the batch {batch.id} with {len(batch.recordings)} recordings.")
        for batch in submit_waiting(catalogue.engine, batches, input_of, RefinementSettings.of(settings)):
            context.log.info(f"Submitted the batch {batch.id} with {len(batch.recordings)} recordings.")


@dg.job(description="Submit the recordings that wait for a Message Batch, and collect the answers.")
def exchange_refinements() -> None:
    exchange()


@dg.sensor(
    jobs=[refine_again, exchange_refinements],
    minimum_interval_seconds=_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Submits waiting recordings in a Message Batch once enough of them wait or one has waited long "
    "enough, and requests a run of refine_again for each answered recording.",
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
    batch_store.record_runs(engine, _from_cursor(context.cursor))
    answered = batch_store.unused_answers(engine, capacity(context.instance, settings))
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
    status, ended_at = newest[0].dagster_run.status, newest[0].end_time
    if status.value not in ENDED_STATUSES:
        return False
    failed_at = datetime.fromtimestamp(ended_at, UTC) if ended_at and status is dg.DagsterRunStatus.FAILURE else None
    return failed_at is None or datetime.now(UTC) - failed_at >= _PAUSE_AFTER_FAILURE


def _has_to_exchange(context: dg.SensorEvaluationContext, engine: Engine, settings: Settings) -> bool:
    if is_due(batch_store.queue(engine), settings):
        return True
    if not batch_store.pending(engine) and not batch_store.unconfirmed(engine):
        return False
    try:
        claude = connect(retries=0, timeout=_POLL_SECONDS)
        batches = None if claude is None else ClaudeBatches(claude)
        return batches is not None and (has_ended(engine, batches) or _is_recovered(engine, batches))
    except RefinementUnavailable as error:
        context.log.warning(f"Could not ask how far the batches are: {error}")
        return False
    except RefinementFailed:
        # The exchange fails for the same reason, and shows it.
        return True


def _is_recovered(engine: Engine, batches: ClaudeBatches) -> bool:
    """Return whether the outcome of an interrupted submission was found out."""
    with exchange_lock(engine) as is_alone:
        return is_alone and recover(engine, batches)
