"""The layout of Amazon Transcribe's output: types that validate it, and the labels of speakers and channels."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any, NotRequired

from pydantic import Field, PlainSerializer, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from transcription_dagster.errors import InvalidTranscript
from transcription_dagster.model import DoubtfulSpeech, Gap, RemovedSpeech, Segment, Word
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


#: A channel and, if known, one of the speakers on it.
_ON_CHANNEL = re.compile(r"(ch_\d+)(?:/(.+))?", re.ASCII)


def label_of(channel: str | None, speaker: str | None) -> str | None:
    """Return the label of a word. Speakers are numbered per channel: spk_0 of one is not spk_0 of another."""
    return f"{channel}/{speaker}" if channel and speaker else channel or speaker


def with_labels(item: Item, label: str | None) -> Item:
    """Return an item with its channel and speaker, from the label of its word."""
    channel, speaker = _split_label(label)
    labels = item.copy()
    if channel:
        labels["channel_label"] = channel
    if speaker:
        labels["speaker_label"] = speaker
    return labels


def channel_labels(items: Sequence[Item]) -> ChannelLabels | None:
    """Return the items by channel; None if no item has a channel."""
    channels = sorted({label for item in items if (label := item.get("channel_label"))})
    if not channels:
        return None
    return ChannelLabels(
        channels=[
            Channel(channel_label=channel, items=[item for item in items if item.get("channel_label") == channel])
            for channel in channels
        ],
        number_of_channels=len(channels),
    )


def speaker_labels(words: Sequence[Word]) -> SpeakerLabels | None:
    """Return the turns of the speakers; None if no word has a speaker in addition to its channel."""
    turns = [
        (speaker, list(turn))
        for speaker, turn in groupby(words, key=lambda word: _split_label(word.speaker)[1])
        if speaker
    ]
    if not turns:
        return None
    return SpeakerLabels(
        speakers=len({speaker for speaker, _ in turns}),
        segments=[
            SpeakerSegment(
                start_time=turn[0].start,
                end_time=max(word.end for word in turn),
                speaker_label=speaker,
                items=[SpokenItem(start_time=word.start, end_time=word.end, speaker_label=speaker) for word in turn],
            )
            for speaker, turn in turns
        ],
    )


def _split_label(label: str | None) -> tuple[str | None, str | None]:
    """Split a word's label into its channel and its speaker."""
    match = _ON_CHANNEL.fullmatch(label or "")
    return (match[1], match[2]) if match else (None, label)
