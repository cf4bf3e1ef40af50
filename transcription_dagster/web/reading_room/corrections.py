"""People's corrections on the page: shown among the edits, with the resulting turns and speakers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from transcription_dagster.corrections.changes import words_digest
from transcription_dagster.corrections.desk import Corrected, Manuscript, corrected
from transcription_dagster.corrections.reading import Author, lay_refined
from transcription_dagster.database.connection import Engine
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.reading import Reading, SignedEdit, Turn

#: The kind of an edit made by a person.
CORRECTION = "correction"


def with_corrections(engine: Engine, reading: Reading, refined_text: str | None) -> Reading:
    """Return the reading with people's changes. A change replaces any edit of the refinement that it touches."""
    base = lay_refined(reading.words, refined_text)
    now = corrected(engine, Manuscript(reading.recording, base, words_digest(reading.words)))
    if not now.changes:
        return reading
    made = list(_edits(now))
    taken = {word for edit in made for word in range(edit.first, edit.last + 1)}
    kept = [edit for edit in reading.edits if taken.isdisjoint(range(edit.first, edit.last + 1))]
    turns = (Turn(turn.first, turn.stop, turn.speaker) for turn in now.reading.turns())
    edits = sorted([*made, *kept], key=lambda edit: edit.first)
    return replace(reading, turns=tuple(turns), edits=tuple(edits))


def _edits(now: Corrected) -> Iterator[SignedEdit]:
    """Return what people wrote in place of the machine's words."""
    for passage in now.reading.passages:
        if passage.author is not Author.PERSON:
            continue
        old = join_words(now.reading.words[passage.first : passage.stop])
        new = join_words(passage.words)
        change = now.change(passage.version) if passage.version is not None else None
        if new != old:
            author = change.who if change else "a person"
            yield SignedEdit(passage.first, passage.stop - 1, old, new, CORRECTION, author)
