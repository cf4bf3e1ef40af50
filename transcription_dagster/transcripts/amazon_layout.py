"""The layout of Amazon Transcribe's output, as types that validate it."""

from __future__ import annotations

import json
from typing import Annotated, Any, NotRequired

from pydantic import Field, PlainSerializer, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from transcription_dagster.errors import InvalidTranscript
from transcription_dagster.model import DoubtfulSpeech, Gap, RemovedSpeech, Segment
from transcription_dagster.transcripts.amazon_jobs import as_plain_transcript, why_no_transcript
from transcription_dagster.transcripts.word_languages import LanguageRun

#: Seconds: a string in Amazon's layout, to the millisecond.
Seconds = Annotated[
    float, Field(allow_inf_nan=False), PlainSerializer(lambda value: str(round(value, 3)), return_type=str)
]
#: A number that is a string in Amazon's layout.
Share = Annotated[float, Field(allow_inf_nan=False), PlainSerializer(str, return_type=str)]


class Alternative(TypedDict):
    """One reading of an item; a punctuation mark's confidence is 0."""

    content: str
    confidence: NotRequired[Share | None]


class Item(TypedDict):
    """A word (`pronunciation`), or a punctuation mark after it (`punctuation`), which has no time."""

    id: NotRequired[int | None]
    type: str
    alternatives: Annotated[list[Alternative], Field(min_length=1)]
    start_time: NotRequired[Seconds | None]
    end_time: NotRequired[Seconds | None]
    speaker_label: NotRequired[str | None]
    channel_label: NotRequired[str | None]
    language_code: NotRequired[str | None]
    #: An extension of this program: written by a person.
    corrected: NotRequired[bool]


class AudioSegment(TypedDict):
    """A stretch of speech and the ids of its items."""

    id: NotRequired[int | None]
    transcript: NotRequired[str | None]
    start_time: Seconds
    end_time: Seconds
    items: NotRequired[list[int] | None]


class SpokenItem(TypedDict):
    """A word's time and its speaker."""

    start_time: NotRequired[Seconds | None]
    end_time: NotRequired[Seconds | None]
    speaker_label: NotRequired[str | None]


class SpeakerSegment(TypedDict):
    """One speaker's turn."""

    start_time: NotRequired[Seconds | None]
    end_time: NotRequired[Seconds | None]
    speaker_label: NotRequired[str | None]
    items: NotRequired[list[SpokenItem] | None]


class SpeakerLabels(TypedDict):
    """The turns of all speakers; in older documents the only place with this information."""

    speakers: NotRequired[int | None]
    segments: NotRequired[list[SpeakerSegment] | None]


class Channel(TypedDict):
    """The items of one channel, in order."""

    channel_label: str
    items: NotRequired[list[Item] | None]


class ChannelLabels(TypedDict):
    """The items of each channel; in older documents the only place with the words' channels."""

    channels: NotRequired[list[Channel] | None]
    number_of_channels: NotRequired[int | None]


class SpokenLanguage(TypedDict):
    """A spoken language and its duration."""

    language_code: str
    duration_in_seconds: NotRequired[Annotated[float, Field(allow_inf_nan=False)] | None]


class FullText(TypedDict):
    """The whole transcript as text."""

    transcript: str


class AmazonResults(TypedDict):
    """The content of the transcript."""

    transcripts: NotRequired[list[FullText] | None]
    items: NotRequired[list[Item] | None]
    audio_segments: NotRequired[list[AudioSegment] | None]
    channel_labels: NotRequired[ChannelLabels | None]
    speaker_labels: NotRequired[SpeakerLabels | None]
    language_code: NotRequired[str | None]
    language_codes: NotRequired[list[SpokenLanguage] | None]


class Whisper(TypedDict):
    """Information from Whisper beyond Amazon's layout; `glued` holds the indices of words written without a space."""

    model: str
    language: str
    duration: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    options: dict[str, Any]
    segments: tuple[Segment, ...]
    #: Indices of words with a known language, by language.
    languages: NotRequired[tuple[LanguageRun, ...]]
    glued: list[int]
    removed: tuple[RemovedSpeech, ...]
    doubtful: NotRequired[tuple[DoubtfulSpeech, ...]]
    gaps: NotRequired[tuple[Gap, ...]]


class Document(TypedDict):
    """A transcription job's output."""

    jobName: NotRequired[str | None]
    accountId: NotRequired[str | int | None]
    status: NotRequired[str | None]
    results: AmazonResults
    whisper: NotRequired[Whisper | None]


_DOCUMENT = TypeAdapter(Document)


def parse_document(document: str | bytes) -> Document:
    """Validate a document; the output of a Call Analytics job becomes a plain transcript.

    Raises `InvalidTranscript` with the first invalid position, or with the reason why the job has no transcript.
    """
    raw = document.encode("utf-8", "replace") if isinstance(document, str) else document
    encoding = json.detect_encoding(raw)
    if encoding != "utf-8":
        # With a byte order mark, or in UTF-16, as PowerShell redirects output.
        raw = raw.decode(encoding, "replace").encode()
    try:
        content = _validated(raw)
    except ValidationError as error:
        raise InvalidTranscript(_complaint(raw, error)) from None
    if reason := why_no_transcript(content):
        raise InvalidTranscript(reason)
    return content


def _validated(raw: bytes) -> Document:
    try:
        return _DOCUMENT.validate_json(raw)
    except ValidationError:
        converted = as_plain_transcript(raw)
        if converted is None:
            raise
        return _DOCUMENT.validate_python(converted)


def _complaint(raw: bytes, error: ValidationError) -> str:
    """Return the first fault of a document, with its position."""
    if keys := _foreign_keys(raw):
        return f"the document is not an output of Amazon Transcribe or this program: it has {keys} and no results"
    first, *rest = error.errors(include_url=False, include_input=False, include_context=False)
    position = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    more = f" (and {len(rest)} more)" if rest else ""
    return f"{position or 'document'}: {first['msg']}{more}"


def _foreign_keys(raw: bytes) -> str:
    """Return the keys of a JSON object without `results`; empty for anything else."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(content, dict) or "results" in content:
        return ""
    return ", ".join(repr(key)[:40] for key in list(content)[:5])


def render_document(document: Document) -> str:
    """Write a document as JSON."""
    return _DOCUMENT.dump_json(document).decode()
