"""Corrections in Postgres: recorded, refused in a conflict, and carried over to a new transcript."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from transcription_dagster.corrections import drafts, journal
from transcription_dagster.corrections.manuscript import CorrectedText, Manuscript, correct, load_corrected
from transcription_dagster.database.recordings import Recording, forget, register
from transcription_dagster.errors import CorrectionConflict, RecordingForgotten, UnknownRecording
from transcription_dagster_tests.sample_transcripts import RECORDING, transcript

MANUSCRIPT = Manuscript.of(transcript("one two three four"), None)


@pytest.fixture
def archive(engine: Engine) -> Engine:
    register(engine, [Recording(RECORDING, "/a.wav")])
    return engine


def retype(engine: Engine, first: int, stop: int, words: str, *, who: str = "Ada", seen: int = 0) -> CorrectedText:
    return correct(
        engine, MANUSCRIPT, lambda current: drafts.retype(current.reading, first, stop, words), who=who, seen=seen
    )


def test_changes_are_stored_with_their_author(archive: Engine) -> None:
    retype(archive, 0, 2, "one too")
    after = retype(archive, 2, 4, "tree four", who="Bob")
    assert after.reading.text() == "one too tree four\n"
    assert load_corrected(archive, MANUSCRIPT).reading == after.reading
    assert [(change.version, change.who) for change in after.changes] == [(1, "Ada"), (2, "Bob")]


def test_another_persons_words_are_never_overwritten(archive: Engine) -> None:
    retype(archive, 0, 4, "one too three four")
    with pytest.raises(CorrectionConflict):
        retype(archive, 0, 4, "one to three four", who="Bob", seen=0)
    assert load_corrected(archive, MANUSCRIPT).reading.text() == "one too three four\n"
    # Bob has not seen it, but changes other words: both changes are kept.
    after = retype(archive, 0, 4, "one too three for", who="Bob", seen=1)
    assert after.reading.text() == "one too three for\n"


def test_a_change_without_effect_is_not_recorded(archive: Engine) -> None:
    assert retype(archive, 0, 4, "one two three four").version == 0
    assert journal.due(archive, 0, 10) == {}


def test_a_recording_is_due_when_quiet_until_a_run_is_requested(archive: Engine) -> None:
    retype(archive, 0, 2, "one too")
    assert journal.due(archive, 3600, 10) == {}
    assert journal.due(archive, 0, 10) == {RECORDING: 1}
    journal.note_requested(archive, {RECORDING: 1})
    assert journal.due(archive, 0, 10) == {}
    retype(archive, 2, 3, "tree", seen=1)
    assert journal.due(archive, 0, 10) == {RECORDING: 2}


def test_changes_are_carried_over_to_a_new_transcript_once(archive: Engine) -> None:
    retype(archive, 0, 2, "one too")
    retranscribed = Manuscript.of(transcript("one tooth three four"), None)
    moved = load_corrected(archive, retranscribed)
    assert moved.reading.text() == "one tooth three four\n"
    assert [change.draft.is_lost for change in moved.lost] == [True]
    retranscribed = Manuscript.of(transcript("one two three four five"), None)
    assert load_corrected(archive, retranscribed).reading.text() == "one too three four five\n"
    assert load_corrected(archive, retranscribed).version == load_corrected(archive, retranscribed).version == 3
    assert {change.who for change in load_corrected(archive, retranscribed).changes} == {"Ada"}


def test_forgetting_a_recording_forgets_its_corrections(archive: Engine) -> None:
    retype(archive, 0, 2, "one too")
    forget(archive, RECORDING)
    with archive.connect() as connection:
        for table in ("corrections", "corrected_recordings"):
            rows = connection.execute(text(f"SELECT count(*) FROM transcription_data.{table}"))
            assert rows.scalar_one() == 0
    with pytest.raises((UnknownRecording, RecordingForgotten)):
        retype(archive, 0, 2, "one too")


def test_the_journal_keeps_every_kind_of_change_as_it_was(archive: Engine) -> None:
    retype(archive, 0, 2, "one too")
    for make in (
        lambda current: drafts.set_speaker(current.reading, 0, 4, "Ada", everywhere=True),
        lambda current: drafts.split_turn(current.reading, 2),
        lambda current: drafts.join_turns(current.reading, 2),
        lambda current: drafts.mark_unintelligible(current.reading, 3, 4),
        lambda current: drafts.restore(current.reading, current.state, 0, 4),
        lambda current: drafts.undo(current.reading, current.state, current.changes[-1].draft, current.version),
    ):
        after = correct(archive, MANUSCRIPT, make, who="Ada", seen=99)
        assert load_corrected(archive, MANUSCRIPT).changes == after.changes
        assert load_corrected(archive, MANUSCRIPT).reading == after.reading
    assert after.reading.text() == "one too three [unintelligible]\n"
