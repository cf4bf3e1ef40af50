"""`recording.json`: the index of a recording's files."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from transcription_dagster.database.recordings import Recording
from transcription_dagster.defs.stored_values import (
    AUDIO_FILE,
    EDITS_FILE,
    REDACTED_AUDIO_FILE,
    REDACTED_FILES,
    STORED_FORMS,
)
from transcription_dagster.model import Audio, Transcript
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.urls import shown_url

MANIFEST_FILE = "recording.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The index of a recording's files."""

    document: bytes
    #: File name -> hexadecimal SHA-256.
    sha256s: Mapping[str, str]
    total_bytes: int


def make_manifest(
    store: ObjectStore, recording: str, known: Recording, transcript: Transcript, *, redacted_only: bool = False
) -> Manifest:
    """Index a recording's files in the store, or only the redacted ones. The result is deterministic."""
    files = {}
    names = {form.file for form in STORED_FORMS.values()} | {AUDIO_FILE, EDITS_FILE}
    if redacted_only:
        names = set(REDACTED_FILES)
    for stored in sorted(store.list(recording), key=lambda each: each.key):
        name = stored.key.split("/", 1)[1]
        if name in names and name != AUDIO_FILE:
            files[name] = _described(store.get_bytes(stored.key))
    if (form := STORED_FORMS["audio"]).file in files:
        # The hash was computed when the file was written: the file is large and may be remote.
        audio: Audio = form.decode(store.get_bytes(object_key(recording, form.file)))
        files[AUDIO_FILE] = {"bytes": audio.flac_bytes, "sha256": audio.flac_sha256}
    if store.head(key := object_key(recording, REDACTED_AUDIO_FILE)) is not None:
        files[REDACTED_AUDIO_FILE] = _described_file(store, key)
    content = {
        "uuid": recording,
        "title": known.title,
        "source": shown_url(known.source),
        "language": transcript.language,
        "model": transcript.model,
        "seconds": transcript.duration,
        "words": len(transcript.words),
        "files": files,
    }
    return Manifest(
        document=json.dumps(content, indent=1, ensure_ascii=False).encode(),
        sha256s={name: str(each["sha256"]) for name, each in files.items()},
        total_bytes=sum(int(each["bytes"]) for each in files.values()),
    )


def _described_file(store: ObjectStore, key: str) -> dict[str, int | str]:
    """Describe an object without reading it into memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = store.file(key, Path(folder))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": path.stat().st_size, "sha256": digest}


def _described(data: bytes) -> dict[str, int | str]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
