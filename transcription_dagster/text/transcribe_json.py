"""Transcripts as JSON documents in the layout of Amazon Transcribe's output, read and written.

Amazon's part of the layout is that of its developer guide ("Data input and output", "Example diarization output").
What only Whisper knows stands under the extra key `whisper`, which Amazon's own documents do not have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from transcription_dagster.errors import InvalidRecordingId, InvalidTranscript
from transcription_dagster.model import RemovedSpeech, Segment, Transcript, Word, recording_id
from transcription_dagster.text.boundaries import is_unspaced
from transcription_dagster.text.plain import join_words
from transcription_dagster.text.word_times import settle_spans

_TRAILING_PUNCTUATION = re.compile(r"""(?<=\S)[.,;:!?…。、，．！？；：؟،؛۔।॥\]})"”»」』）】〉》]['’.,;:!?…"”»\]})]*$""")
_OPENING_PUNCTUATION = frozenset("¿¡([{“‘«„‚「『（【〈《")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]+")
#: Languages that put no space between words.
_UNSPACED_LANGUAGES = frozenset({"zh", "yue", "wuu", "ja", "th", "lo", "my", "km", "bo"})

#: Seconds: a string in Amazon's layout, to the millisecond.
_Seconds = Annotated[
    float, Field(allow_inf_nan=False), PlainSerializer(lambda value: str(round(value, 3)), return_type=str)
]
_Share = Annotated[float, Field(allow_inf_nan=False), PlainSerializer(str, return_type=str)]


class _Layout(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Alternative(_Layout):
    content: str
    confidence: _Share | None = None


class _Item(_Layout):
    id: int | None = None
    type: str
    alternatives: list[_Alternative] = Field(min_length=1)
    start_time: _Seconds | None = None
    end_time: _Seconds | None = None
    speaker_label: str | None = None
    channel_label: str | None = None


class _AudioSegment(_Layout):
    id: int | None = None
    transcript: str = ""
    start_time: _Seconds
    end_time: _Seconds
    items: list[int] = Field(default_factory=list)


class _SpokenItem(_Layout):
    start_time: _Seconds | None = None
    speaker_label: str


class _SpeakerSegment(_Layout):
    items: list[_SpokenItem] = Field(default_factory=list)


class _SpeakerLabels(_Layout):
    segments: list[_SpeakerSegment] = Field(default_factory=list)


class _SpokenLanguage(_Layout):
    language_code: str


class _Text(_Layout):
    transcript: str


class _Results(_Layout):
    transcripts: list[_Text] = Field(default_factory=list)
    items: list[_Item]
    audio_segments: list[_AudioSegment] | None = None
    speaker_labels: _SpeakerLabels | None = None
    language_code: str | None = None
    language_codes: list[_SpokenLanguage] | None = None


class _Whisper(_Layout):
    """What Whisper knows beyond Amazon's layout; `glued` holds the numbers of the words written without a space."""

    model: str
    language: str
    duration: float = Field(ge=0, allow_inf_nan=False)
    options: dict[str, Any]
    segments: tuple[Segment, ...]
    glued: list[int]
    removed: tuple[RemovedSpeech, ...]


class _Document(_Layout):
    job_name: str = Field(default="", alias="jobName")
    account_id: str = Field(default="", alias="accountId")
    status: str = "COMPLETED"
    results: _Results
    whisper: _Whisper | None = None


def read_transcript(document: str | bytes, *, recording: str | None = None) -> Transcript:
    """Read a transcript that this program or Amazon Transcribe wrote.

    `recording` is the recording's UUID, or "" where the words alone matter; without it the document's `jobName` has
    to be the UUID. Words without a time, or with one that goes backward, are placed between their neighbours.
    Raises `InvalidTranscript` that names the place, and `InvalidRecordingId` for a bad `recording`.
    """
    content = _parse(document)
    if content.status != "COMPLETED":
        raise InvalidTranscript(f"status: the transcription is {content.status[:40]!r}, not COMPLETED")
    name = _recording(content.job_name, recording)
    words, item_words = _words(content)
    if content.whisper is None:
        return Transcript(
            recording=name,
            words=words,
            segments=_audio_segments(content.results, item_words),
            language=_language(content.results),
            duration=max((word.end for word in words), default=0.0),
        )
    whisper = content.whisper
    _check_segments(whisper.segments, len(words))
    options = _frozen(whisper.options)
    return Transcript(
        name, words, whisper.segments, whisper.language, whisper.duration, whisper.model, options, whisper.removed
    )


def write_transcript(transcript: Transcript) -> str:
    """Write the transcript as one JSON document, which `read_transcript` reads back as it was.

    Word times are kept to the millisecond, everything else exactly. Sequences among the options come back as tuples.
    """
    items, word_items = _items(transcript.words)
    results = _Results(
        transcripts=[_Text(transcript=join_words(transcript.words))],
        items=items,
        audio_segments=[
            _AudioSegment(
                id=number,
                transcript=join_words(transcript.words[segment.first : segment.stop]),
                start_time=segment.start,
                end_time=segment.end,
                items=[item for word in range(segment.first, segment.stop) for item in word_items[word]],
            )
            for number, segment in enumerate(transcript.segments)
        ],
    )
    whisper = _Whisper(
        model=transcript.model,
        language=transcript.language,
        duration=transcript.duration,
        options=_thawed(transcript.options),
        segments=transcript.segments,
        glued=[number for number, word in enumerate(transcript.words) if word.glued],
        removed=transcript.removed,
    )
    document = _Document(
        jobName=transcript.recording, accountId="", status="COMPLETED", results=results, whisper=whisper
    )
    return document.model_dump_json(by_alias=True, exclude_unset=True)


def _parse(document: str | bytes) -> _Document:
    raw = document.encode("utf-8", "replace") if isinstance(document, str) else document
    try:
        return _Document.model_validate_json(raw.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        first, *rest = error.errors(include_url=False, include_input=False, include_context=False)
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        more = f" (and {len(rest)} more)" if rest else ""
        raise InvalidTranscript(f"{place or 'document'}: {first['msg']}{more}") from None


def _recording(job_name: str, recording: str | None) -> str:
    if recording is not None:
        return recording_id(recording) if recording else ""
    try:
        return recording_id(job_name)
    except InvalidRecordingId:
        raise InvalidTranscript(
            f"jobName: {job_name[:80]!r} is not the UUID of a recording: say which recording this is"
        ) from None


def _language(results: _Results) -> str:
    if results.language_code:
        return results.language_code
    return results.language_codes[0].language_code if results.language_codes else "en"


def _words(content: _Document) -> tuple[tuple[Word, ...], dict[int, int]]:
    """The words, and the number of the word that each item belongs to."""
    texts, spoken, item_words = _texts(content.results.items)
    spans = settle_spans([(item.start_time, item.end_time) for item in spoken], [len(text) for text in texts])
    glued = _glued(texts, content)
    speakers = _speakers(spoken, content.results.speaker_labels)
    words = tuple(
        Word(text, start, end, _confidence(item), number in glued, speaker)
        for number, (text, (start, end), item, speaker) in enumerate(zip(texts, spans, spoken, speakers, strict=True))
    )
    return words, item_words


def _texts(items: Sequence[_Item]) -> tuple[list[str], list[_Item], dict[int, int]]:
    """The texts of the words with their punctuation, the items that were spoken, and each item's word."""
    texts: list[str] = []
    spoken: list[_Item] = []
    item_words: dict[int, int] = {}
    opening = ""
    for position, item in enumerate(items):
        content = " ".join(_CONTROL.sub(" ", item.alternatives[0].content).split())
        if item.type == "pronunciation":
            if not content:
                continue
            texts.append(opening + content)
            spoken.append(item)
            opening = ""
        elif item.type != "punctuation":
            raise InvalidTranscript(f"results.items[{position}].type: {item.type[:40]!r} is not a kind of item")
        elif not texts or content in _OPENING_PUNCTUATION:
            opening += content
        else:
            texts[-1] += content
        item_words[position if item.id is None else item.id] = max(0, len(texts) - 1)
    if opening and texts:
        texts[-1] += opening
    return texts, spoken, item_words


def _glued(texts: Sequence[str], content: _Document) -> set[int]:
    """The words that are written without a space before them."""
    if content.whisper is not None:
        return set(content.whisper.glued)
    unspaced = [is_unspaced(text[0]) for text in texts]
    language = _language(content.results).lower().replace("_", "-").split("-")[0]
    throughout = language in _UNSPACED_LANGUAGES or sum(unspaced) * 2 > len(unspaced)
    glued = set()
    for number in range(1, len(texts)):
        before, after = texts[number - 1][-1], texts[number][0]
        if (is_unspaced(before) and is_unspaced(after)) or (throughout and (is_unspaced(before) or is_unspaced(after))):
            glued.add(number)
    return glued


def _speakers(spoken: Sequence[_Item], labels: _SpeakerLabels | None) -> list[str | None]:
    """Who said each word: as the item says, or as the older layout does, in a list beside the items."""
    by_start = {
        item.start_time: item.speaker_label for segment in (labels.segments if labels else ()) for item in segment.items
    }
    return [
        item.speaker_label
        or item.channel_label
        or (by_start.get(item.start_time) if item.start_time is not None else None)
        for item in spoken
    ]


def _confidence(item: _Item) -> float:
    confidence = item.alternatives[0].confidence
    return 1.0 if confidence is None else min(1.0, max(0.0, confidence))


def _audio_segments(results: _Results, item_words: Mapping[int, int]) -> tuple[Segment, ...]:
    segments = []
    for segment in results.audio_segments or ():
        words = [item_words[item] for item in segment.items if item in item_words]
        if words:
            segments.append(Segment(segment.start_time, segment.end_time, min(words), max(words) + 1))
    return tuple(segments)


def _check_segments(segments: Sequence[Segment], count: int) -> None:
    for number, segment in enumerate(segments):
        if not 0 <= segment.first <= segment.stop <= count:
            raise InvalidTranscript(
                f"whisper.segments[{number}]: words {segment.first} to {segment.stop} are not among the {count} words"
            )


def _items(words: Sequence[Word]) -> tuple[list[_Item], list[list[int]]]:
    """The items, and the numbers of the items that each word became."""
    items: list[_Item] = []
    word_items: list[list[int]] = []
    for word in words:
        content, marks = _split_punctuation(word.text)
        label = {} if word.speaker is None else {"speaker_label": word.speaker}
        numbers = list(range(len(items), len(items) + 1 + len(marks)))
        said = _Alternative(content=content, confidence=word.confidence)
        items.append(
            _Item(
                id=numbers[0],
                type="pronunciation",
                alternatives=[said],
                start_time=word.start,
                end_time=word.end,
                **label,
            )
        )
        for number, mark in zip(numbers[1:], marks, strict=True):
            written = _Alternative(content=mark, confidence=0.0)
            items.append(_Item(id=number, type="punctuation", alternatives=[written], **label))
        word_items.append(numbers)
    return items, word_items


def _split_punctuation(text: str) -> tuple[str, str]:
    """A word's text as what is said and the punctuation marks after it; all of it, if nothing in it can be said."""
    marks = _TRAILING_PUNCTUATION.search(text)
    if marks is None or not any(character.isalnum() for character in text):
        return text, ""
    return text[: marks.start()], marks.group()


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, list | tuple) else value
