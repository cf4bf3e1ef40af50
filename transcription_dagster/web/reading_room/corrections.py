"""People's corrections on the page: shown among the edits, with the resulting turns and speakers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from transcription_dagster.corrections.changes import words_digest
from transcription_dagster.corrections.desk import Corrected
from transcription_dagster.corrections.reading import Author
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.reading import Reading, SignedEdit

#: The kind of an edit made by a person.
CORRECTION = "correction"


def with_corrections(reading: Reading, now: Corrected) -> Reading:
    """Return the reading with people's changes. A change replaces any edit of the refinement that it touches.

    A reading that was made from another transcript, and is about to be made again, stays as it is.
    """
    if not now.changes or words_digest(reading.words) != now.manuscript.digest:
        return reading
    made = list(_edits(now))
    taken = {word for edit in made for word in range(edit.first, edit.last + 1)}
    kept = [edit for edit in reading.edits if taken.isdisjoint(range(edit.first, edit.last + 1))]
    edits = sorted([*made, *kept], key=lambda edit: edit.first)
    return replace(reading, turns=tuple(now.reading.outline()), edits=tuple(edits))


def _edits(now: Corrected) -> Iterator[SignedEdit]:
    """Return what people wrote in place of the machine's words."""
    for _, passage in sorted(now.reading.written.items()):
        if passage.author is not Author.PERSON:
            continue
        old = join_words(now.reading.words[passage.first : passage.stop])
        new = join_words(passage.words)
        change = now.change(passage.version) if passage.version is not None else None
        if new != old:
            author = change.who if change else "a person"
            yield SignedEdit(passage.first, passage.stop - 1, old, new, CORRECTION, author)
