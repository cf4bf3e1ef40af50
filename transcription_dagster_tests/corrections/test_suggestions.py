"""Corrections that people make repeatedly become suggestions for the vocabulary."""

from __future__ import annotations

from itertools import count

import pytest
from sqlalchemy import Engine

from transcription_dagster.corrections import drafts
from transcription_dagster.corrections.manuscript import Manuscript, correct
from transcription_dagster.corrections.suggestions import suggestions
from transcription_dagster.database import vocabulary
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.model import Term
from transcription_dagster_tests.sample_transcripts import transcript


class Archive:
    """Recordings that are corrected one after another."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._numbers = count(1)

    def corrected(self, transcribed: str, *texts: str) -> None:
        """Add a recording transcribed as `transcribed`, with a person's corrections in order."""
        name = f"00000000-0000-4000-8000-{next(self._numbers):012}"
        register(self.engine, [Recording(name, "/a.wav")])
        manuscript = Manuscript.of(transcript(transcribed, recording=name), None)
        stop = len(manuscript.base.words)
        for typed in texts:
            correct(
                self.engine,
                manuscript,
                lambda current, typed=typed: drafts.retype(current.reading, 0, stop, typed),
                who="Ada",
                seen=99,
            )

    def suggested(self) -> list[tuple[str, str, int]]:
        return [
            (suggestion.term, suggestion.variant, len(suggestion.places)) for suggestion in suggestions(self.engine)
        ]


@pytest.fixture
def archive(engine: Engine) -> Archive:
    return Archive(engine)


def test_a_correction_made_three_times_is_suggested_with_its_variant(archive: Archive) -> None:
    archive.corrected("we found quill on ite here", "we found Quillonite here")
    archive.corrected("Quill on ite, again", "Quillonite, again")
    assert archive.suggested() == []
    # Text typed letter by letter counts once, in its final form.
    archive.corrected("and quill on ite.", "and Quillo", "and Quillon.", "and Quillonite.")
    assert archive.suggested() == [("Quillonite", "quill on ite", 3)]


def test_undone_corrections_and_rewordings_are_not_suggested(archive: Archive) -> None:
    for _ in range(3):
        archive.corrected("we found quill on ite", "we found Quillonite", "we found quill on ite")
        archive.corrected("they went their", "they went there")
        archive.corrected("hello world", "Hello, world!")
    assert archive.suggested() == []


def test_a_suggestion_is_accepted_or_declined_for_good(archive: Archive) -> None:
    vocabulary.put(archive.engine, [Term("Marrowgate", ("marrow gate",), "place", 2.0)])
    for _ in range(3):
        archive.corrected("at merrow gate", "at Marrowgate")
        archive.corrected("some grifana", "some Grafana")
    assert archive.suggested() == [("Grafana", "grifana", 3), ("Marrowgate", "merrow gate", 3)]
    vocabulary.add_variant(archive.engine, "Marrowgate", "merrow gate")
    vocabulary.decline(archive.engine, "Grafana", "grifana")
    assert archive.suggested() == []
    assert vocabulary.terms(archive.engine) == (Term("Marrowgate", ("marrow gate", "merrow gate"), "place", 2.0),)
