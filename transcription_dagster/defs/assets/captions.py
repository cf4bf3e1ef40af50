"""The transcript in the forms that people read and players show. Pure functions of the transcript."""

import dagster as dg

from transcription_dagster.defs.partitions import recordings
from transcription_dagster.model import Transcript
from transcription_dagster.text.captions import make_cues
from transcription_dagster.text.plain import to_text
from transcription_dagster.text.subtitles import to_srt, to_vtt

#: Raised when the rules of text/captions.py change what is written, so that older captions show as stale.
CAPTIONS_VERSION = "1"


@dg.asset(
    partitions_def=recordings,
    group_name="captions",
    code_version="1",
    kinds={"text"},
    description="The transcript as plain text in paragraphs (`transcript.txt`).",
)
def transcript_txt(transcript: Transcript) -> str:
    return to_text(transcript)


@dg.asset(
    partitions_def=recordings,
    group_name="captions",
    code_version=CAPTIONS_VERSION,
    kinds={"srt"},
    description="Captions as SubRip (`captions.srt`).",
)
def captions_srt(transcript: Transcript) -> str:
    return to_srt(make_cues(transcript.words))


@dg.asset(
    partitions_def=recordings,
    group_name="captions",
    code_version=CAPTIONS_VERSION,
    kinds={"webvtt"},
    description="Captions as WebVTT (`captions.vtt`).",
)
def captions_vtt(transcript: Transcript) -> str:
    return to_vtt(make_cues(transcript.words))
