"""The file and serialisation of each asset's value in the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import check_not_forgotten
from transcription_dagster.errors import RecordingForgotten, SourceNotFound
from transcription_dagster.insights.findings import Insights
from transcription_dagster.model import Audio, Speakers, SpeakerTurn
from transcription_dagster.refinement.results import Refined
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.transcripts.amazon_json import read_transcript, write_transcript
from transcription_dagster.transcripts.reading import SignedEdit, read_reading, write_reading


@dataclass(frozen=True, slots=True)
class StoredForm:
    """The file of an asset in its recording's folder, and its conversion to bytes and back."""

    file: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    #: Returns the value for a recording (UUID) without the file; None if every recording must have it.
    missing: Callable[[str], Any] | None = None
    #: The asset whose value replaces a missing one; None if there is no replacement.
    instead: str | None = None


def _text(file: str) -> StoredForm:
    return StoredForm(file, lambda value: value.encode("utf-8"), lambda data: data.decode("utf-8"))


def _transcript(file: str) -> StoredForm:
    return StoredForm(file, lambda value: write_transcript(value).encode(), read_transcript)


def _audio_to_json(audio: Audio) -> bytes:
    return json.dumps(asdict(audio)).encode()


def _audio_from_json(data: bytes) -> Audio:
    content = json.loads(data)
    content["levels"] = tuple(tuple(level) for level in content["levels"])
    return Audio(**content)


def _speakers_to_json(speakers: Speakers) -> bytes:
    return json.dumps(asdict(speakers), indent=1, ensure_ascii=False).encode()


def _speakers_from_json(data: bytes) -> Speakers:
    content = json.loads(data)
    return Speakers(**{**content, "turns": tuple(SpeakerTurn(**turn) for turn in content["turns"])})


def _unknown_speakers(recording: str) -> Speakers:
    """Return the speakers of a recording without diarization, such as an older one or an imported transcript."""
    return Speakers(recording, skipped="Not diarized yet: run the job `speakers`.")


def _insights_to_json(insights: Insights) -> bytes:
    return json.dumps(insights.to_json(), indent=1, ensure_ascii=False).encode()


def _bytes(file: str) -> StoredForm:
    return StoredForm(file, bytes, bytes)


#: The changes made by refinement, stored beside the text that it made.
EDITS_FILE = "edits.json"
#: The author of corrections made by the vocabulary.
VOCABULARY = "vocabulary"

#: The audio itself; `audio.json` describes it.
AUDIO_FILE = "audio.flac"
#: The audio without sensitive data.
REDACTED_AUDIO_FILE = "redacted.flac"

STORED_FORMS: Mapping[str, StoredForm] = {
    "audio": StoredForm("audio.json", _audio_to_json, _audio_from_json),
    "transcript": _transcript("transcript.json"),
    # For recordings of earlier versions, which lack the file.
    "conversation": replace(_transcript("conversation.json"), instead="transcript"),
    "speakers": StoredForm("speakers.json", _speakers_to_json, _speakers_from_json, _unknown_speakers),
    "transcript_txt": _text("transcript.txt"),
    "captions_srt": _text("captions.srt"),
    "captions_vtt": _text("captions.vtt"),
    "refined_txt": _text("refined.txt"),
    "corrected_txt": _text("corrected.txt"),
    "corrected_json": _transcript("corrected.json"),
    "refined_srt": _text("refined.srt"),
    "refined_vtt": _text("refined.vtt"),
    "peaks": _bytes("peaks.bin"),
    "reading": StoredForm("reading.json", write_reading, read_reading),
    "redacted_txt": _text("redacted.txt"),
    "redacted_json": _transcript("redacted.json"),
    "redacted_srt": _text("redacted.srt"),
    "redacted_vtt": _text("redacted.vtt"),
    "insights": StoredForm("insights.json", _insights_to_json, lambda data: Insights.from_json(json.loads(data))),
}

#: The redacted texts.
REDACTED_FILES = frozenset(form.file for asset, form in STORED_FORMS.items() if asset.startswith("redacted_"))


def stored_value(store: ObjectStore, asset: str, recording: str) -> Any:
    """Return the value of an asset of a recording, or its replacement if it is missing.

    Raises `SourceNotFound` if there is neither.
    """
    form = STORED_FORMS[asset]
    key = object_key(recording, form.file)
    if form.missing is not None and store.head(key) is None:
        return form.missing(recording)
    try:
        return form.decode(store.get_bytes(key))
    except SourceNotFound:
        if form.instead is None:
            raise
        return stored_value(store, form.instead, recording)


@contextmanager
def unless_forgotten(engine: Engine, store: ObjectStore, recording: str, key: str) -> Iterator[None]:
    """Guard a block that writes an object, which is removed if its recording was forgotten meanwhile.

    Raises `RecordingForgotten` before or after the block.
    """
    check_not_forgotten(engine, recording)
    yield
    try:
        check_not_forgotten(engine, recording)
    except RecordingForgotten:
        store.delete(key)
        raise


def edits_document(refined: Refined) -> bytes:
    """Return every edit, anchored in the transcript's words, with its author: the vocabulary, or Claude's model."""
    signed = [
        SignedEdit(edit.first, edit.last, edit.old, edit.new, edit.kind, _author(edit.kind, refined.model))
        for edit in refined.edits
    ]
    return json.dumps([asdict(edit) for edit in signed], ensure_ascii=False).encode()


def read_edits(store: ObjectStore, recording: str) -> Sequence[SignedEdit]:
    """Return the edits of a recording; empty if its text was refined before edits were stored."""
    try:
        document = store.get_bytes(object_key(recording, EDITS_FILE))
    except SourceNotFound:
        return []
    return [SignedEdit(**edit) for edit in json.loads(document)]


def _author(kind: str, model: str) -> str:
    return model if model and kind != "vocabulary" else VOCABULARY
