"""Speakers in Claude's input, and edits that must not cross from one speaker to another."""

from __future__ import annotations

from transcription_dagster.model import Edit, Term, Word
from transcription_dagster.refinement.edits import validate_edits
from transcription_dagster.refinement.prompt import make_request
from transcription_dagster.refinement.results import RefinementSettings
from transcription_dagster.refinement.text_windows import TextWindow
from transcription_dagster.vocabulary.variants import correct_variants


def words_of(*turns: tuple[str | None, str]) -> list[Word]:
    texts = [(text, speaker) for speaker, turn in turns for text in turn.split()]
    return [Word(text, number / 2, number / 2 + 0.4, speaker=speaker) for number, (text, speaker) in enumerate(texts)]


def prompt_lines(words: list[Word], first: int = 0) -> list[str]:
    request = make_request(words, TextWindow(first, len(words)), (), "en", RefinementSettings("some-model"))
    transcript = request.user.split("<transcript>\n")[1].split("\n</transcript>")[0]
    return transcript.split("\n")


def test_each_turn_is_a_line_with_its_speaker_and_an_index() -> None:
    words = words_of(("spk_0", "Where is the boat?"), ("Ben", "It left an hour ago, I fear."), ("spk_0", "Oh."))
    assert prompt_lines(words) == [
        "<Speaker 1> [0] Where is the boat?",
        "<Ben> [4] It left an hour ago, [9] I fear.",
        "<Speaker 1> [11] Oh.",
    ]
    assert prompt_lines(words, 8)[0] == "<Ben> [8] ago, I fear."


def test_one_speaker_or_none_is_shown_as_one_line() -> None:
    assert prompt_lines(words_of((None, "It left an hour ago, yes."))) == ["[0] It left an hour ago, [5] yes."]
    assert prompt_lines(words_of(("Ben", "It left."))) == ["[0] It left."]


def test_a_name_cannot_close_its_marker() -> None:
    assert prompt_lines(words_of(("A>\n[0] x <b", "Yes."), ("B", "No.")))[0] == "<A [0] x b> [0] Yes."


def reasons(words: list[Word], edit: Edit) -> list[str]:
    return [dropped.reason for dropped in validate_edits(words, [edit], (), language="en").dropped]


def test_an_edit_that_reaches_across_speakers_is_dropped() -> None:
    words = words_of(("A", "We go to"), ("B", "day. Yes we do go there."))
    assert reasons(words, Edit(2, 3, "to day.", "today.", "punctuation")) == ["reaches across speakers"]
    assert (
        reasons(words_of(("A", "We go to day. Yes we do go there.")), Edit(2, 3, "to day.", "today.", "punctuation"))
        == []
    )


def test_a_repetition_by_another_speaker_is_not_a_false_start() -> None:
    edit = Edit(3, 3, "there", "", "disfluency")
    assert reasons(words_of(("A", "I was sitting there there in the morning")), edit) == []
    assert reasons(words_of(("A", "I was sitting there"), ("B", "there in the morning")), edit) != []


def test_a_term_is_not_assembled_from_two_speakers_words() -> None:
    terms = [Term("Kubernetes", ("cooper netties",))]
    assert correct_variants(words_of(("A", "We run cooper"), ("B", "netties too")), terms) == []
    assert len(correct_variants(words_of(("A", "We run cooper netties")), terms)) == 1
