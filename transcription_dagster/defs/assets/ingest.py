"""The ingest stage: normalise a recording's audio into the form that all later assets read."""

import hashlib
from pathlib import Path

import dagster as dg
import numpy as np
from pydantic import Field

from transcription_dagster.audio.decode import AudioFacts, normalise
from transcription_dagster.audio.flac import levels
from transcription_dagster.database.recordings import (
    Recording,
    check_not_forgotten,
    find_recording,
    record_etags,
    register,
)
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource, StoreResource
from transcription_dagster.defs.stored_values import AUDIO_FILE, unless_forgotten
from transcription_dagster.errors import InvalidWorklist
from transcription_dagster.model import Audio
from transcription_dagster.settings import Settings
from transcription_dagster.sources.addresses import keep_whole_url, whole_url
from transcription_dagster.sources.fetch import fetch, unchanged
from transcription_dagster.sources.worklists import source_uri
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.store.scratch import scratch_folder
from transcription_dagster.urls import path_in, shown_url


class AudioConfig(dg.Config):
    """Config of the asset `audio`: a source for a recording that is in no worklist and no watched source."""

    source: str | None = Field(
        default=None,
        description="Path or URL (file://, s3://, https://) of the recording's audio or video, which replaces the "
        "registered source. Unset: the registered one.",
    )


def audio_code_version(settings: Settings) -> str:
    """Return the code version, which includes the channel setting unless it is `auto`."""
    return "2" if settings.channels == "auto" else f"2-{settings.channels}"


@dg.asset(
    partitions_def=recordings,
    group_name="ingest",
    kinds={"ffmpeg", "flac"},
    description="The recording's audio as 16 kHz FLAC (`audio.flac`), mixed or with the channels that hold different "
    "voices, and facts about its source.",
)
def audio(
    context: dg.AssetExecutionContext,
    config: AudioConfig,
    catalogue: CatalogueResource,
    store: StoreResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[Audio]:
    recording = context.partition_key
    with reported_failures(), scratch_folder(settings) as folder:
        files = store.open()
        registered = _registered(catalogue, files, recording, config.source)
        source = fetch(whole_url(files, recording, registered.source), folder / "source", settings)
        if registered.etag is None and source.etag:
            # The recording was registered without a version: sensors must not report this version as new.
            record_etags(catalogue.engine, {recording: source.etag})
        flac = folder / AUDIO_FILE
        with unchanged(source):
            facts = normalise(
                source.path,
                flac,
                max_seconds=settings.max_recording_hours * 3600,
                name=path_in(registered.source),
                language=registered.language or (None if registered.languages else settings.language),
                channels=registered.channels or settings.channels,
                detect_voice=_detect_voice,
            )
        key = object_key(recording, AUDIO_FILE)
        with unless_forgotten(catalogue.engine, files, recording, key):
            files.put_file(key, flac)
        with flac.open("rb") as file:
            flac_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        loudness_by_second = levels(flac)
    for warning in facts.warnings:
        context.log.warning(warning)
    value = Audio(
        recording=recording,
        uri=files.uri(key),
        seconds=facts.seconds,
        source_sha256=facts.source_sha256,
        source_bytes=facts.source_bytes,
        codec=facts.codec,
        sample_rate=facts.sample_rate,
        channels=facts.channels,
        loudness=facts.loudness,
        flac_bytes=facts.flac_bytes,
        flac_sha256=flac_sha256,
        levels=loudness_by_second,
        flac_channels=facts.flac_channels,
    )
    return dg.MaterializeResult(value=value, metadata={"title": registered.title or "", **_metadata(facts)})


def _registered(catalogue: CatalogueResource, files: ObjectStore, recording: str, source: str | None) -> Recording:
    """Return the recording, registered with the source in the run's config or with its address in the media library."""
    if source is not None:
        register(catalogue.engine, [Recording(recording, _named_source(source))])
    known = find_recording(catalogue.engine, recording)
    if known is None:
        check_not_forgotten(catalogue.engine, recording)
        known = catalogue.recording(recording)
        keep_whole_url(files, recording, known.source)
        register(catalogue.engine, [known])
    return known


def _metadata(facts: AudioFacts) -> dict[str, dg.MetadataValue | str | int | float]:
    noted = {"flac_channels": facts.flac_channels, "channels_note": facts.channels_note} if facts.channels_note else {}
    warnings = dg.MetadataValue.md("\n".join(f"- {warning}" for warning in facts.warnings))
    return {
        "audio_seconds": round(facts.seconds, 3),
        "codec": facts.codec,
        "sample_rate": facts.sample_rate,
        "channels": facts.channels,
        "source_bytes": facts.source_bytes,
        "source_sha256": facts.source_sha256,
        "flac_bytes": facts.flac_bytes,
        **noted,
        **({"track": facts.track} if facts.track else {}),
        **({} if facts.loudness is None else {"loudness_dbfs": round(facts.loudness, 1)}),
        **({"warnings": warnings} if facts.warnings else {}),
    }


def _detect_voice(samples: np.ndarray) -> np.ndarray:
    # Imported late: only recordings with different channels need it, and it loads torch.
    from transcription_dagster.whisper.voice_activity import voice_probabilities

    return voice_probabilities(samples)


def _named_source(source: str) -> str:
    uri = source_uri(source, Path.cwd())
    if shown_url(uri) != uri:
        raise InvalidWorklist(
            "`source` contains a signature or a password, and Dagster shows run config; name it in a worklist instead"
        )
    return uri
