"""The sensors: they request runs for new, corrected and submitted recordings, and record why recordings failed."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from transcription_dagster.corrections import journal
from transcription_dagster.dagster_api.values import PARTITION_TAG, SOURCE_TAG, WILL_RETRY_TAG, first_line
from transcription_dagster.database import submissions
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import (
    Recording,
    forgotten,
    record_etags,
    record_failure,
    register,
    registered_sources,
)
from transcription_dagster.defs.assets.conversation import observation
from transcription_dagster.defs.failures import unless_unavailable
from transcription_dagster.defs.jobs import APPLY_CORRECTIONS
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.refinement_batches import refinement_batches
from transcription_dagster.defs.resources import CatalogueResource
from transcription_dagster.defs.runs import capacity, recordings_in_flight
from transcription_dagster.defs.versions import refresh_stale
from transcription_dagster.errors import TranscriptionError
from transcription_dagster.settings import Settings
from transcription_dagster.sources.addresses import keep_whole_url
from transcription_dagster.sources.base import Source, pages
from transcription_dagster.sources.discovery import (
    Discovery,
    DiscoveryState,
    WantedRun,
    confirmed,
    discover,
)
from transcription_dagster.sources.fetch import open_sources
from transcription_dagster.sources.submissions import send_outcome, wait_after, webhook_client
from transcription_dagster.store.object_store import ObjectStore

#: Seconds for listing a source: Dagster ends a tick after 60 s, and the other steps take a few.
_LISTING_SECONDS = 30.0
_LISTING_INTERVAL_SECONDS = 30
_NEW_RECORDINGS = (
    "Requests one run of transcribe_recordings for each new or changed recording, and pauses while many runs wait. "
    "A failed recording is requested again when its source changes."
)


def new_recordings(settings: Settings) -> Sequence[dg.SensorDefinition]:
    """Return a sensor for each source that the settings name; none by default."""
    return [_source_sensor(source) for source in open_sources(settings)]


def _source_sensor(source: Source) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"new_recordings_{source.name}",
        job_name="transcribe_recordings",
        minimum_interval_seconds=_LISTING_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=_NEW_RECORDINGS,
    )
    def tick(
        context: dg.SensorEvaluationContext, catalogue: CatalogueResource, settings: dg.ResourceParam[Settings]
    ) -> dg.SensorResult | dg.SkipReason:
        # A skipped tick keeps the cursor: the next one repeats all steps.
        return unless_unavailable(lambda: _source_tick(context, source, catalogue.engine, settings))

    return tick


def _source_tick(
    context: dg.SensorEvaluationContext, source: Source, engine: Engine, settings: Settings
) -> dg.SensorResult:
    """Execute the steps of `discovery` in order."""
    state = DiscoveryState.from_text(context.cursor)
    known = {uuid: registered.etag for uuid, registered in registered_sources(engine, state.asked).items()}
    record_etags(engine, confirmed(state.asked, known))
    if state.receipts:
        source.acknowledge(state.receipts)
    max_requests = capacity(context.instance, settings)
    discovery = discover(
        pages(source, state.cursor, _LISTING_SECONDS),
        state.cursor,
        lambda uuids: registered_sources(engine, uuids),
        lambda uuids: forgotten(engine, uuids),
        recordings_in_flight(context.instance) if max_requests else (),
        max_requests,
    )
    for problem in discovery.problems:
        context.log.warning(problem)
    store = ObjectStore(settings.store_url)
    for request in discovery.requests:
        keep_whole_url(store, request.source.uuid, request.source.uri)
    register(engine, [_registration(request) for request in discovery.requests])
    return _requests_for(discovery, {SOURCE_TAG: source.name})


def _registration(request: WantedRun) -> Recording:
    source = request.source
    return Recording(source.uuid, source.uri, etag=request.pending, size=source.size, modified=source.modified)


def _requests_for(discovery: Discovery, tags: Mapping[str, str]) -> dg.SensorResult:
    cursor = discovery.state.to_text()
    uuids = [request.source.uuid for request in discovery.requests]
    if not uuids:
        return dg.SensorResult(skip_reason=discovery.summary, cursor=cursor)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=request.run_key, partition_key=request.source.uuid, tags=tags)
            for request in discovery.requests
        ],
        dynamic_partitions_requests=[recordings.build_add_request(uuids)],
        cursor=cursor,
    )


#: Corrections are saved with every pause in typing: wait for the last one.
QUIET_SECONDS = 60.0
#: Outcomes delivered per tick, and the time for them: Dagster ends a tick after 60 seconds.
_OUTCOMES, _DELIVERY_SECONDS = 50, 30.0


@dg.sensor(
    job_name=APPLY_CORRECTIONS,
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Observes recordings that people have corrected, and requests one run of apply_corrections for each, "
    "a minute after the last change. These runs do not transcribe or call Claude.",
)
def corrected_recordings(
    context: dg.SensorEvaluationContext, catalogue: CatalogueResource, settings: dg.ResourceParam[Settings]
) -> dg.SensorResult | dg.SkipReason:
    return unless_unavailable(lambda: _corrections_tick(context, catalogue.engine, settings))


def _corrections_tick(context: dg.SensorEvaluationContext, engine: Engine, settings: Settings) -> dg.SensorResult:
    # A stored cursor means that the last tick's runs were requested.
    journal.note_requested(engine, json.loads(context.cursor or "{}"))
    due = journal.due(engine, QUIET_SECONDS, capacity(context.instance, settings))
    cursor = json.dumps(due)
    if not due:
        return dg.SensorResult(skip_reason="No recording has new corrections that are a minute old.", cursor=cursor)
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
    description="Requests a run of transcribe_recordings for each recording that another program submitted, and "
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
    waiting = submissions.waiting(engine, capacity(context.instance, settings))
    cursor = json.dumps(waiting)
    if not waiting:
        return dg.SensorResult(skip_reason="No recording was submitted.", cursor=cursor)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=f"submitted:{recording}", partition_key=recording) for recording in waiting
        ],
        dynamic_partitions_requests=[recordings.build_add_request(waiting)],
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


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="Records in the database that a recording failed, and why, for transcription worklist --failed. The"
    " recording's next publication clears it.",
)
def failed_recordings(context: dg.RunFailureSensorContext, catalogue: CatalogueResource) -> dg.SkipReason | None:
    run = context.dagster_run
    recording = run.tags.get(PARTITION_TAG)
    if recording is None:
        return dg.SkipReason(f"The run {run.run_id} is of no recording.")
    if _will_be_retried(context.instance, run.run_id):
        return dg.SkipReason(f"Dagster retries the run {run.run_id}.")
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


def _will_be_retried(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Return whether Dagster retries the run, as it does when a worker was lost: the retry's outcome counts."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.tags.get(WILL_RETRY_TAG) == "true"


def _end_of(instance: dg.DagsterInstance, run_id: str) -> float:
    record = instance.get_run_record_by_id(run_id)
    ended_at = record.end_time if record else None
    return ended_at if ended_at is not None else datetime.now(UTC).timestamp()


def _was_published_since(instance: dg.DagsterInstance, recording: str, moment: float) -> bool:
    """Return whether a faster retry published the recording before this tick."""
    records = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey("publication"), asset_partitions=[recording], after_timestamp=moment
    )
    return bool(instance.fetch_materializations(records, limit=1).records)


def sensors(settings: Settings) -> Sequence[dg.SensorDefinition]:
    """Return the sensors that the settings enable; those for new recordings need a configured source."""
    in_batches = [refinement_batches] if settings.refinement == "batch" else []
    return [
        *new_recordings(settings),
        failed_recordings,
        corrected_recordings,
        submitted_recordings,
        refresh_stale,
        *in_batches,
    ]
