"""Files that the reading room needs to show a recording without reading its whole transcript and audio."""

import dagster as dg

from transcription_dagster.audio.flac import PEAKS_PER_SECOND, sound_peaks
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import StoreResource
from transcription_dagster.defs.stored_values import AUDIO_FILE, read_edits
from transcription_dagster.defs.versions import REFRESH
from transcription_dagster.model import Transcript
from transcription_dagster.settings import Settings
from transcription_dagster.store.object_store import object_key
from transcription_dagster.store.scratch import scratch_folder
from transcription_dagster.transcripts.reading import Reading, reading_of


@dg.asset(
    partitions_def=recordings,
    group_name="reading_room",
    code_version="1",
    automation_condition=REFRESH,
    # Not an input, because imported transcripts have no audio but all other assets.
    deps=["audio"],
    kinds={"ffmpeg"},
    description="The waveform on the recording's page, 20 bytes a second (`peaks.bin`). Empty for a transcript "
    "that was imported without its audio.",
)
def peaks(
    context: dg.AssetExecutionContext, store: StoreResource, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[bytes]:
    key = object_key(context.partition_key, AUDIO_FILE)
    with reported_failures(), scratch_folder(settings) as folder:
        files = store.open()
        if files.head(key) is None:
            return dg.MaterializeResult(value=b"", metadata={"note": "There is no audio: the transcript was imported."})
        value = sound_peaks(files.file(key, folder))
    return dg.MaterializeResult(value=value, metadata={"seconds": len(value) / PEAKS_PER_SECOND})


@dg.asset(
    partitions_def=recordings,
    group_name="reading_room",
    code_version="1",
    automation_condition=REFRESH,
    deps=["refined_txt"],
    kinds={"json"},
    description="The words in turns, with every edit and who made it (`reading.json`): the recording's page.",
)
def reading(conversation: Transcript, store: StoreResource) -> dg.MaterializeResult[Reading]:
    with reported_failures():
        edits = read_edits(store.open(), conversation.recording)
    value = reading_of(conversation, edits)
    return dg.MaterializeResult(
        value=value,
        metadata={
            "page": dg.MetadataValue.url(f"/recordings/{conversation.recording}"),
            "turns": len(value.turns),
            "speakers": len(value.speakers),
            "edits": len(value.edits),
        },
    )
