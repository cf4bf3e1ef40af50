"""Plain text and captions, made from the transcript by pure functions."""

import dagster as dg

from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.subtitles import to_vtt
from transcription_dagster.defs.metadata import caption_result, well_formed
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.versions import REFRESH, from_cues
from transcription_dagster.model import Transcript
from transcription_dagster.transcripts.plain_text import to_text


@dg.asset(
    partitions_def=recordings,
    group_name="captions",
    code_version="2",
    automation_condition=REFRESH,
    kinds={"text"},
    description="The transcript as plain text in paragraphs (`transcript.txt`).",
)
def transcript_txt(conversation: Transcript) -> str:
    return to_text(conversation)


@dg.asset(
    partitions_def=recordings,
    group_name="captions",
    code_version=from_cues("1"),
    automation_condition=REFRESH,
    kinds={"srt"},
    description="Captions as SubRip (`captions.srt`).",
    check_specs=[well_formed("captions_srt")],
)
def captions_srt(conversation: Transcript):
    return caption_result("captions_srt", make_cues(conversation.words, duration=conversation.duration))


@dg.asset(
    partitions_def=recordings,
    group_name="captions",
    code_version=from_cues("1"),
    automation_condition=REFRESH,
    kinds={"webvtt"},
    description="Captions as WebVTT (`captions.vtt`).",
)
def captions_vtt(conversation: Transcript) -> str:
    return to_vtt(make_cues(conversation.words, duration=conversation.duration))
