"""The words of the transcript with their speakers."""

from collections.abc import Sequence

import dagster as dg

from transcription_dagster.corrections.journal import last_version
from transcription_dagster.defs.assets.correction import observation
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource
from transcription_dagster.defs.versions import REFRESH
from transcription_dagster.insights.findings import speaker_shares
from transcription_dagster.model import Speakers, Transcript
from transcription_dagster.transcripts.conversation import with_speakers


@dg.asset(
    partitions_def=recordings,
    group_name="transcription",
    code_version="1",
    automation_condition=REFRESH,
    kinds={"json"},
    description="The transcript with the speaker of each word (`conversation.json`, Amazon Transcribe's layout), by "
    "the turns of the speakers or the channels of the recording. Everything after it is made from it.",
)
def conversation(
    context: dg.AssetExecutionContext, transcript: Transcript, speakers: Speakers, catalogue: CatalogueResource
) -> dg.MaterializeResult[Transcript]:
    with reported_failures():
        names = catalogue.recording(transcript.recording).speaker_names
        version = last_version(catalogue.engine, transcript.recording)
    # Observed before the assets made from corrections exist, so that the next correction makes them stale.
    context.log_event(observation(transcript.recording, version))
    value = with_speakers(transcript, speakers.turns, names)
    return dg.MaterializeResult(value=value, metadata=_metadata(value, names))


def _metadata(value: Transcript, names: Sequence[str]) -> dict[str, int | str]:
    shares = speaker_shares(value.words, value.language)
    unsure = sum(word.speaker is None for word in value.words)
    return {
        "speakers": len(shares),
        **({"names": ", ".join(names)} if names else {}),
        **({"words_without_speaker": unsure} if shares else {}),
    }
