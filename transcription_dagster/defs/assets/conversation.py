"""The words with their speakers, and the text with people's corrections, which outrank the refinement's."""

from collections.abc import Sequence

import dagster as dg

from transcription_dagster.captions.cue_corrections import correct_cues
from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.subtitles import to_vtt
from transcription_dagster.corrections.journal import last_version
from transcription_dagster.corrections.manuscript import Manuscript, load_corrected, with_named_speakers
from transcription_dagster.corrections.reading import Author
from transcription_dagster.defs.failures import reported_failures
from transcription_dagster.defs.metadata import caption_result, well_formed
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.resources import CatalogueResource
from transcription_dagster.defs.versions import REFRESH, REFRESH_OR_ADD, from_corrected_cues
from transcription_dagster.insights.findings import speaker_shares
from transcription_dagster.model import Cue, Speakers, Transcript
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


#: People make corrections in the reading room; a sensor observes the asset with the version of the last change.
corrections = dg.AssetSpec(
    "corrections",
    partitions_def=recordings,
    group_name="correction",
    code_version="1",
    kinds={"postgres"},
    description="People's corrections of the recording, from the reading room. Its data version is that of the last "
    "change.",
)


@dg.asset(
    partitions_def=recordings,
    group_name="correction",
    code_version="1",
    deps=[corrections],
    automation_condition=REFRESH_OR_ADD,
    kinds={"text"},
    description="The refined text with people's corrections in it (`corrected.txt`), which outrank the vocabulary's "
    "and Claude's. Without corrections it is the refined text.",
)
def corrected_txt(
    conversation: Transcript, refined_txt: str, catalogue: CatalogueResource
) -> dg.MaterializeResult[str]:
    with reported_failures():
        result = load_corrected(catalogue.engine, Manuscript.of(conversation, refined_txt))
    return dg.MaterializeResult(
        value=result.reading.text() if result.changes else refined_txt,
        metadata={
            "version": result.version,
            "corrected_passages": sum(passage.author is Author.PERSON for passage in result.reading.written.values()),
            "lost_corrections": len(result.lost),
        },
    )


@dg.asset(
    partitions_def=recordings,
    group_name="correction",
    code_version="1",
    deps=[corrections],
    automation_condition=REFRESH_OR_ADD,
    kinds={"json"},
    description="The words of the corrected text with their times and speakers (`corrected.json`, Amazon Transcribe's "
    "layout). A word that a person wrote says `corrected`.",
)
def corrected_json(conversation: Transcript, refined_txt: str, catalogue: CatalogueResource) -> Transcript:
    with reported_failures():
        words = load_corrected(catalogue.engine, Manuscript.of(conversation, refined_txt)).reading.current_words()
    return Transcript(
        conversation.recording,
        words,
        language=conversation.language,
        duration=conversation.duration,
        model=conversation.model,
    )


def observation(recording: str, version: int) -> dg.AssetObservation:
    """Return the observation that a recording's corrections are at this version.

    Dagster compares the last two observations of an external asset's partition to find stale descendants, so there
    is one before the first correction.
    """
    return dg.AssetObservation(
        corrections.key,
        partition=recording,
        metadata={"version": version},
        tags={"dagster/data_version": str(version)},
    )


@dg.asset(
    partitions_def=recordings,
    group_name="correction",
    code_version=from_corrected_cues("1"),
    automation_condition=REFRESH,
    kinds={"srt"},
    description="The captions with the refined and corrected text (`refined.srt`): every cue keeps its time.",
    check_specs=[well_formed("refined_srt")],
)
def refined_srt(conversation: Transcript, corrected_txt: str, catalogue: CatalogueResource):
    return caption_result("refined_srt", corrected_cues(conversation, corrected_txt, catalogue))


@dg.asset(
    partitions_def=recordings,
    group_name="correction",
    code_version=from_corrected_cues("1"),
    automation_condition=REFRESH,
    kinds={"webvtt"},
    description="The captions with the refined and corrected text (`refined.vtt`): every cue keeps its time.",
)
def refined_vtt(conversation: Transcript, corrected_txt: str, catalogue: CatalogueResource) -> str:
    return to_vtt(corrected_cues(conversation, corrected_txt, catalogue))


def corrected_cues(conversation: Transcript, corrected_txt: str, catalogue: CatalogueResource) -> list[Cue]:
    """Return the cues of a recording with the corrected text and the names of its speakers."""
    with reported_failures():
        named = with_named_speakers(catalogue.engine, conversation)
    return correct_cues(make_cues(named.words, duration=named.duration), corrected_txt)
