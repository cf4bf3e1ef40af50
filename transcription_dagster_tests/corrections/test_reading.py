"""People's changes applied to the machine's words and the refined text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from transcription_dagster.corrections import drafts
from transcription_dagster.corrections.changes import Change, ChangedWords, Draft, replay
from transcription_dagster.corrections.drafts import find_replacements, replace_all
from transcription_dagster.corrections.reading import (
    Author,
    CorrectedReading,
    UncorrectedText,
    apply_changes,
    apply_refinement,
)
from transcription_dagster.errors import UnusableCorrection
from transcription_dagster.model import Word
from transcription_dagster_tests.sample_transcripts import spoken

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


class Sheet:
    """A transcript that a person corrects, change by change."""

    def __init__(self, words: Sequence[Word], refined: str | None = None) -> None:
        self.base: UncorrectedText = apply_refinement(words, refined)
        self.changes: list[Change] = []

    @property
    def state(self) -> ChangedWords:
        return replay(self.changes)

    @property
    def reading(self) -> CorrectedReading:
        return apply_changes(self.base, self.state)

    def add(self, added: Sequence[Draft]) -> Sheet:
        self.changes += [
            Change(version, draft, "Ada", WHEN) for version, draft in enumerate(added, start=len(self.changes) + 1)
        ]
        return self

    def retype(self, first: int, stop: int, text: str) -> Sheet:
        return self.add(drafts.retype(self.reading, first, stop, text))

    def undo(self, version: int) -> Sheet:
        change = self.changes[version - 1]
        return self.add(drafts.undo(self.reading, self.state, change.draft, version))

    @property
    def text(self) -> str:
        return self.reading.text().strip()


def spoken_by(text: str, **speakers: Sequence[int]) -> tuple[Word, ...]:
    """Return words, given the range of words of each speaker."""
    words = list(spoken(text))
    for name, (first, stop) in speakers.items():
        words[first:stop] = [replace(word, speaker=name) for word in words[first:stop]]
    return tuple(words)


def test_only_differing_words_change_and_times_stay() -> None:
    words = spoken("we found quill on ite in the basin")
    sheet = Sheet(words).retype(0, 8, "we found Quillonite in the basin")
    [change] = sheet.changes
    assert (change.draft.heard, change.draft.old, change.draft.new) == ("quill on ite", "quill on ite", "Quillonite")
    written = [word for passage in sheet.reading.passages() for word in passage.words]
    assert [word.text for word in written] == ["we", "found", "Quillonite", "in", "the", "basin"]
    assert [written[index] for index in (0, 1, 3, 4, 5)] == [words[index] for index in (0, 1, 5, 6, 7)]
    assert (written[2].start, written[2].end, written[2].confidence) == (words[2].start, words[4].end, 1.0)


def test_saving_unchanged_text_changes_nothing() -> None:
    assert Sheet(spoken("one two three")).retype(0, 3, "  one two\nthree ").changes == []


def test_a_persons_words_take_precedence_over_the_refinement() -> None:
    words = spoken("we found quill on ite in the bay sin")
    sheet = Sheet(words, "We found Quillonite in the basin.\n")
    assert sheet.text == "We found Quillonite in the basin."
    sheet.retype(0, 9, "We found Quillonyte in the basin.")
    assert sheet.text == "We found Quillonyte in the basin."
    authors = {passage.author for passage in sheet.reading.passages()}
    assert authors == {Author.MACHINE, Author.REFINEMENT, Author.PERSON}


def test_a_later_refinement_of_a_persons_words_is_dropped() -> None:
    words = spoken("the quill on ite is rare")
    sheet = Sheet(words).retype(1, 2, "quell")
    sheet.base = apply_refinement(words, "The Quillonite is rare.\n")
    assert sheet.text == "The quell on ite is rare."


def test_words_are_added_and_deleted() -> None:
    sheet = Sheet(spoken("one two three four")).retype(0, 4, "zero one three and a half four")
    assert sheet.text == "zero one three and a half four"
    sheet.retype(0, 4, "")
    assert sheet.text == ""
    sheet.retype(0, 4, "five six")
    assert sheet.text == "five six"


def test_an_undo_restores_the_words_and_can_be_undone() -> None:
    sheet = Sheet(spoken("one two three")).retype(0, 3, "one too three").retype(0, 3, "one to three")
    with pytest.raises(UnusableCorrection, match="undo the later change first"):
        sheet.undo(1)
    assert sheet.undo(2).text == "one too three"
    assert sheet.state.undone == {2}
    assert sheet.undo(3).text == "one to three"
    assert sheet.state.undone == {3}
    with pytest.raises(UnusableCorrection, match="already undone"):
        sheet.undo(3)


def test_restoring_the_machines_words_can_be_undone() -> None:
    sheet = Sheet(spoken("one two three"), "One, two, three.\n").retype(0, 3, "One, too, three!")
    sheet.add(drafts.restore(sheet.reading, sheet.state, 0, 3))
    assert sheet.text == "One, two, three."
    assert drafts.restore(sheet.reading, sheet.state, 0, 3) == []
    assert sheet.undo(len(sheet.changes)).text == "One, too, three!"


def test_a_speaker_is_named_here_or_everywhere_and_two_are_merged() -> None:
    words = spoken_by("a b c d e f", spk_0=(0, 2), spk_1=(2, 4), spk_2=(4, 6))
    sheet = Sheet(words)
    assert [turn.speaker for turn in sheet.reading.turns()] == ["spk_0", "spk_1", "spk_2"]
    sheet.add(drafts.set_speaker(sheet.reading, 0, 2, " Ada  Lovelace", everywhere=False))
    assert [turn.speaker for turn in sheet.reading.turns()] == ["Ada Lovelace", "spk_1", "spk_2"]
    sheet.add(drafts.set_speaker(sheet.reading, 4, 6, "spk_1", everywhere=True))
    turns = list(sheet.reading.turns())
    assert [(turn.speaker, turn.first, turn.stop) for turn in turns] == [
        ("Ada Lovelace", 0, 2),
        ("spk_1", 2, 4),
        ("spk_1", 4, 6),
    ]
    with pytest.raises(UnusableCorrection, match="name"):
        drafts.set_speaker(sheet.reading, 0, 2, " \t", everywhere=False)


def test_turns_are_split_and_joined() -> None:
    words = spoken_by("a b c d", spk_0=(0, 2), spk_1=(2, 4))
    sheet = Sheet(words)
    sheet.add(drafts.split_turn(sheet.reading, 1))
    assert [turn.text for turn in sheet.reading.turns()] == ["a", "b", "c d"]
    sheet.add(drafts.join_turns(sheet.reading, 2))
    assert [(turn.text, turn.speaker) for turn in sheet.reading.turns()] == [("a", "spk_0"), ("b c d", "spk_0")]
    sheet.undo(2)
    assert [turn.text for turn in sheet.reading.turns()] == ["a", "b", "c d"]
    with pytest.raises(UnusableCorrection, match="no turn"):
        drafts.join_turns(sheet.reading, 0)


def test_a_name_stays_with_deleted_words_that_are_restored() -> None:
    words = spoken_by("a b c", spk_0=(0, 3))
    sheet = Sheet(words).retype(0, 3, "")
    sheet.add(drafts.set_speaker(sheet.reading, 0, 3, "Ada", everywhere=True))
    sheet.retype(0, 3, "a b c")
    assert {word.speaker for turn in sheet.reading.turns() for word in turn.words} == {"Ada"}


def test_unintelligible_words_are_marked() -> None:
    sheet = Sheet(spoken("well mumble mumble yes"))
    sheet.add(drafts.mark_unintelligible(sheet.reading, 1, 3))
    assert sheet.text == "well [unintelligible] yes"


def test_replacing_finds_whole_words_and_shows_both_texts() -> None:
    sheet = Sheet(spoken("the cat sat with another Cat in the category"))
    matches = find_replacements(sheet.reading, "cat", "dog")
    assert [(match.new, match.count) for match in matches] == [("the dog sat with another dog in the category", 2)]
    sheet.add(replace_all(sheet.reading, matches))
    assert [(change.draft.heard, change.draft.new) for change in sheet.changes] == [("cat", "dog"), ("Cat", "dog")]
    assert find_replacements(sheet.reading, "cat", "dog") == []
    with pytest.raises(UnusableCorrection):
        find_replacements(sheet.reading, " ", "dog")


def test_words_written_as_one_are_one_passage() -> None:
    first, second = spoken("twenty -five")
    sheet = Sheet([first, replace(second, glued=True)], "Twenty-five.\n").retype(0, 2, "Twenty-six.")
    assert [(passage.first, passage.stop) for passage in sheet.reading.passages()] == [(0, 2)]
    assert sheet.text == "Twenty-six."


def test_a_script_without_spaces_is_corrected_by_the_character() -> None:
    words = [replace(word, glued=True) for word in spoken("今 天 天 汽 很 好")]
    sheet = Sheet(words, "今天天汽很好\n").retype(0, 6, "今天天气很好")
    assert sheet.text == "今天天气很好"
    [change] = sheet.changes
    assert (change.draft.where.first, change.draft.where.stop, change.draft.new) == (3, 4, "气")


def test_control_characters_and_hidden_directions_are_removed() -> None:
    sheet = Sheet(spoken("one two")).retype(0, 2, "one\x00\u202etwo\x1b[31m <b>")
    assert sheet.text == "one two [31m <b>"


@pytest.mark.parametrize(("first", "stop"), [(-1, 2), (0, 4), (2, 2), (2, 1)])
def test_missing_words_are_refused(first: int, stop: int) -> None:
    with pytest.raises(UnusableCorrection, match="not among"):
        drafts.retype(Sheet(spoken("a b c")).reading, first, stop, "x")


def test_a_range_that_cuts_a_passage_is_refused() -> None:
    sheet = Sheet(spoken("quill on ite")).retype(0, 3, "Quillonite")
    with pytest.raises(UnusableCorrection, match="use 0 to 3"):
        drafts.retype(sheet.reading, 1, 3, "x")
