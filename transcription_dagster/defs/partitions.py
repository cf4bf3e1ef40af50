"""The partitions of all assets and checks: one per recording, keyed by UUID."""

from __future__ import annotations

import warnings

import dagster as dg

from transcription_dagster.model import Transcript

_PARTITIONS = "recordings"
recordings = dg.DynamicPartitionsDefinition(name=_PARTITIONS)

# Without partitions a check only shows the last recording's result. Dagster warns that they are a preview; the tested
# release is pinned, and the warning would begin every log.
warnings.filterwarnings("ignore", "Specifying a partitions_def on an AssetCheckSpec", dg.PreviewWarning)


def report_transcript(instance: dg.DagsterInstance, transcript: Transcript, uri: str, imported_from: str) -> None:
    """Add the recording's partition and report its transcript as materialized, so that the rest can be made."""
    instance.add_dynamic_partitions(_PARTITIONS, [transcript.recording])
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key="transcript",
            partition=transcript.recording,
            description="Imported; not transcribed here.",
            metadata={
                "words": len(transcript.words),
                "imported_from": imported_from,
                "uri": dg.MetadataValue.url(uri),
                "language": transcript.language,
                "audio_seconds": transcript.duration,
            },
        )
    )


def remove_partition(instance: dg.DagsterInstance, recording: str) -> bool:
    """Remove a recording's partition; return False if there was none."""
    if not instance.has_dynamic_partition(_PARTITIONS, recording):
        return False
    instance.delete_dynamic_partition(_PARTITIONS, recording)
    return True
