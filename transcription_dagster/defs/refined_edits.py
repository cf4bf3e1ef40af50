"""`edits.json`: what refinement changed in a transcript, kept beside the text that it made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from transcription_dagster.errors import SourceNotFound
from transcription_dagster.refinement.results import Refined
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster.transcripts.reading import SignedEdit

EDITS_FILE = "edits.json"

#: Who makes the corrections that need no judgement.
VOCABULARY = "vocabulary"


def edits_document(refined: Refined) -> bytes:
    """Every edit, anchored in the transcript's words, with who made it: the vocabulary, or Claude's model."""
    signed = [
        SignedEdit(edit.first, edit.last, edit.old, edit.new, edit.kind, _author(edit.kind, refined.model))
        for edit in refined.edits
    ]
    return json.dumps([asdict(edit) for edit in signed], ensure_ascii=False).encode()


def read_edits(store: ObjectStore, recording: str) -> Sequence[SignedEdit]:
    """The edits of a recording; none where its text was refined before they were kept."""
    try:
        document = store.get_bytes(object_key(recording, EDITS_FILE))
    except SourceNotFound:
        return []
    return [SignedEdit(**edit) for edit in json.loads(document)]


def _author(kind: str, model: str) -> str:
    return model if model and kind != "vocabulary" else VOCABULARY
