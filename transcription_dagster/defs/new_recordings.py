"""Sensors that request a run for each new or changed recording of a source."""

from collections.abc import Mapping, Sequence

import dagster as dg

from transcription_dagster.database.connection import Engine
from transcription_dagster.database.forgotten import forgotten
from transcription_dagster.database.recordings import Recording, record_etags, register, registered_etags
from transcription_dagster.defs.failures import unless_unavailable
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.queue_state import recordings_in_flight, room
from transcription_dagster.defs.resources import CatalogueResource
from transcription_dagster.pool.names import SOURCE_TAG
from transcription_dagster.settings import Settings
from transcription_dagster.sources.base import Source, pages
from transcription_dagster.sources.discovery import Discovery, DiscoveryState, WantedRun, discover, settled, unsettled
from transcription_dagster.sources.fetch import open_sources
from transcription_dagster.sources.secret_addresses import keep_whole_url
from transcription_dagster.store.object_store import ObjectStore

#: Seconds for listing a source: Dagster ends a tick after 60 s, and the other steps take a few.
_LISTING_SECONDS = 30.0
_INTERVAL_SECONDS = 30
_DESCRIPTION = (
    "Requests one run of `transcribe_recordings` for each new or changed recording, and pauses while many runs wait. "
    "A failed recording is requested again when its source changes."
)


def new_recordings(settings: Settings) -> Sequence[dg.SensorDefinition]:
    """Return a sensor for each source that the settings name; none by default."""
    return [_sensor(source) for source in open_sources(settings)]


def _sensor(source: Source) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"new_recordings_{source.name}",
        job_name="transcribe_recordings",
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=_DESCRIPTION,
    )
    def look(
        context: dg.SensorEvaluationContext, catalogue: CatalogueResource, settings: dg.ResourceParam[Settings]
    ) -> dg.SensorResult | dg.SkipReason:
        # A skipped tick keeps the cursor: the next one repeats all steps.
        return unless_unavailable(lambda: _tick(context, source, catalogue.engine, settings))

    return look


def _tick(context: dg.SensorEvaluationContext, source: Source, engine: Engine, settings: Settings) -> dg.SensorResult:
    """Execute the steps of `discovery` in order."""
    state = DiscoveryState.from_text(context.cursor)
    record_etags(engine, settled(state.asked, registered_etags(engine, state.asked)))
    if state.receipts:
        source.acknowledge(state.receipts)
    free = room(context.instance, settings)
    found = discover(
        pages(source, state.cursor, _LISTING_SECONDS),
        state.cursor,
        lambda uuids: registered_etags(engine, uuids),
        lambda uuids: forgotten(engine, uuids),
        recordings_in_flight(context.instance) if free else (),
        free,
    )
    for problem in found.problems:
        context.log.warning(problem)
    store = ObjectStore(settings.store_url)
    for request in found.requests:
        keep_whole_url(store, request.source.uuid, request.source.uri)
    register(engine, [_described(request) for request in found.requests])
    return _result(found, {SOURCE_TAG: source.name})


def _described(request: WantedRun) -> Recording:
    source = request.source
    etag = unsettled(source.etag)
    return Recording(source.uuid, source.uri, etag=etag, size=source.size, modified=source.modified)


def _result(found: Discovery, tags: Mapping[str, str]) -> dg.SensorResult:
    cursor = found.state.to_text()
    uuids = [request.source.uuid for request in found.requests]
    if not uuids:
        return dg.SensorResult(skip_reason=found.summary, cursor=cursor)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(run_key=request.run_key, partition_key=request.source.uuid, tags=tags)
            for request in found.requests
        ],
        dynamic_partitions_requests=[recordings.build_add_request(uuids)],
        cursor=cursor,
    )
