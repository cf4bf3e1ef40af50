"""Carrying people's changes over to a new transcript."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transcription_dagster.corrections import drafts
from transcription_dagster.corrections.carrying import carry
from transcription_dagster.model import Word
from transcription_dagster_tests.corrections.test_reading import Sheet, spoken_by
from transcription_dagster_tests.sample_transcripts import spoken


def carried(sheet: Sheet, words: Sequence[Word]) -> Sheet:
    """Return the changes of a sheet on a new transcript."""
    new = Sheet(words)
    return new.add([change.draft for change in carry(sheet.changes, new.base)])


def later(words: Sequence[Word], seconds: float) -> list[Word]:
    return [replace(word, start=word.start + seconds, end=word.end + seconds) for word in words]


def test_a_change_is_carried_to_the_same_words() -> None:
    sheet = Sheet(spoken("the quill on ite is rare")).retype(0, 6, "the Quillonite is rare")
    new = carried(sheet, later(spoken("So, the quill on ite is rare."), -0.4))
    assert new.text == "So, the Quillonite is rare."
    assert [change.draft.carried_from for change in new.changes] == [1]


def test_a_change_moves_to_the_nearest_of_several_places() -> None:
    words = spoken("no yes no yes no yes")
    sheet = Sheet(words).retype(0, 6, "no yes no yep no yes")
    assert carried(sheet, later(words, 0.3)).text == "no yes no yep no yes"


def test_the_same_word_far_away_does_not_match() -> None:
    sheet = Sheet(spoken("one two three")).retype(0, 3, "one too three")
    new = carried(sheet, later(spoken("one two three"), 60.0))
    assert new.text == "one two three"
    assert [change.draft.is_lost for change in new.changes] == [True]


def test_changes_of_missing_words_are_listed_and_have_no_effect() -> None:
    sheet = Sheet(spoken("the quill on ite is rare")).retype(0, 6, "the Quillonite is rare")
    new = carried(sheet, spoken("the killer night is rare"))
    assert new.text == "the killer night is rare"
    [change] = new.changes
    assert change.draft.is_lost
    assert (change.draft.heard, change.draft.new, change.draft.where.start) == ("quill on ite", "Quillonite", 0.5)
    new.undo(1)
    assert new.state.undone == {1}


def test_a_lost_change_is_applied_when_its_words_return() -> None:
    words = spoken("the quill on ite is rare")
    lost = carried(Sheet(words).retype(0, 6, "the Quillonite is rare"), spoken("the killer night is rare"))
    assert carried(lost, words).text == "the Quillonite is rare"


def test_corrections_already_in_the_new_transcript_are_dropped() -> None:
    sheet = Sheet(spoken("the quill on ite is rare")).retype(0, 6, "the Quillonite is rare")
    assert carried(sheet, spoken("the Quillonite is rare")).changes == []


def test_undone_and_overwritten_changes_are_not_carried() -> None:
    sheet = Sheet(spoken("one two three")).retype(0, 3, "one too three").retype(0, 3, "one to three")
    sheet.retype(0, 3, "on to three").undo(3)
    new = carried(sheet, spoken("one two three"))
    assert new.text == "one to three"
    assert [change.draft.carried_from for change in new.changes] == [2]


def test_names_are_carried_by_time() -> None:
    sheet = Sheet(spoken_by("a b c d e f", spk_0=(0, 2), spk_1=(2, 4), spk_2=(4, 6)))
    sheet.add(drafts.set_speaker(sheet.reading, 0, 2, "Ada", everywhere=True))
    sheet.add(drafts.set_speaker(sheet.reading, 4, 6, "Ada", everywhere=True))
    new = carried(sheet, spoken_by("a b c d e f", spk_1=(0, 2), spk_0=(2, 4), spk_2=(4, 6)))
    assert [(turn.speaker, turn.text) for turn in new.reading.turns()] == [
        ("Ada", "a b"),
        ("spk_0", "c d"),
        ("Ada", "e f"),
    ]


def test_split_turns_are_carried() -> None:
    sheet = Sheet(spoken("a b c d"))
    sheet.add(drafts.split_turn(sheet.reading, 2))
    new = carried(sheet, later(spoken("x a b c d"), -0.5))
    assert [turn.text for turn in new.reading.turns()] == ["x a b", "c d"]


def test_an_empty_transcript_loses_all_changes_and_lists_them() -> None:
    sheet = Sheet(spoken("one two")).retype(0, 2, "one too")
    assert [change.draft.is_lost for change in carried(sheet, ()).changes] == [True]
