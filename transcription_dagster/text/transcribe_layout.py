"""The layout of Amazon Transcribe's output, as types that check it.

Amazon's part is that of its developer guide ("Data input and output", "Example diarization output"). What only Whisper
knows stands under the extra key `whisper`, which Amazon's own documents do not have. Dictionaries, since a long
recording has hundreds of thousands of items, and objects of these would cost three times as much.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field, PlainSerializer, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from transcription_dagster.errors import InvalidTranscript
from transcription_dagster.model import RemovedSpeech, Segment

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
    """A word (`pronunciation`), or a mark after it (`punctuation`), which has no time."""

    id: NotRequired[int]
    type: str
    alternatives: Annotated[list[Alternative], Field(min_length=1)]
    start_time: NotRequired[Seconds | None]
    end_time: NotRequired[Seconds | None]
    speaker_label: NotRequired[str | None]
    channel_label: NotRequired[str | None]


class AudioSegment(TypedDict):
    """A stretch of speech and the ids of its items."""

    id: NotRequired[int]
    transcript: NotRequired[str]
    start_time: Seconds
    end_time: Seconds
    items: NotRequired[list[int]]


class SpokenItem(TypedDict):
    """A word's time and its speaker."""

    start_time: NotRequired[Seconds | None]
    speaker_label: str


class SpeakerSegment(TypedDict):
    """One speaker's turn."""

    items: NotRequired[list[SpokenItem]]


class SpeakerLabels(TypedDict):
    """Who spoke when; in older documents the only place that says so."""

    segments: NotRequired[list[SpeakerSegment]]


class SpokenLanguage(TypedDict):
    """One of the languages that were spoken."""

    language_code: str


class Text(TypedDict):
    """The whole transcript as one text."""

    transcript: str


class Results(TypedDict):
    """What was said."""

    transcripts: NotRequired[list[Text]]
    items: list[Item]
    audio_segments: NotRequired[list[AudioSegment] | None]
    speaker_labels: NotRequired[SpeakerLabels | None]
    language_code: NotRequired[str | None]
    language_codes: NotRequired[list[SpokenLanguage] | None]


class Whisper(TypedDict):
    """What Whisper knows beyond Amazon's layout; `glued` holds the numbers of the words written without a space."""

    model: str
    language: str
    duration: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    options: dict[str, Any]
    segments: tuple[Segment, ...]
    glued: list[int]
    removed: tuple[RemovedSpeech, ...]


class Document(TypedDict):
    """A transcription job's output."""

    jobName: NotRequired[str]
    accountId: NotRequired[str]
    status: NotRequired[str]
    results: Results
    whisper: NotRequired[Whisper | None]


_DOCUMENT = TypeAdapter(Document)


def parse_document(document: str | bytes) -> Document:
    """Check a document and return what is known of it. Raises `InvalidTranscript` that names the first bad place."""
    raw = document.encode("utf-8", "replace") if isinstance(document, str) else document
    try:
        return _DOCUMENT.validate_json(raw.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        first, *rest = error.errors(include_url=False, include_input=False, include_context=False)
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        more = f" (and {len(rest)} more)" if rest else ""
        raise InvalidTranscript(f"{place or 'document'}: {first['msg']}{more}") from None


def render_document(document: Document) -> str:
    """Write a document as JSON."""
    return _DOCUMENT.dump_json(document).decode()
