"""Corrections change words, never times."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from transcription_dagster.captions.corrections import correct_cues, correct_words
from transcription_dagster.captions.cues import make_cues
from transcription_dagster.captions.layout import CaptionLimits
from transcription_dagster.errors import UnrelatedText
from transcription_dagster.model import Cue, Edit, Word
from transcription_dagster.transcripts.plain_text import join_words, to_text, without_speakers
from transcription_dagster_tests.captions.speech import at, say, spoken_text, spoken_words


def edited(words: list[Word], first: int, last: int, new: str) -> list[Word]:
    """Return the words after one edit."""
    old = join_words(words[first : last + 1])
    return correct_words(words, [Edit(first, last, old, new, "mishearing")])


def spans(words: list[Word]) -> list[tuple[str, float, float]]:
    """Return texts with their times."""
    return [(word.text, word.start, word.end) for word in words]


def cue_texts(cues: list[Cue]) -> list[str]:
    """Return the cues' texts, with a bar between lines."""
    return ["|".join(cue.lines) for cue in cues]


def times(cues: list[Cue]) -> list[tuple[int, int]]:
    """Return the cues' times."""
    return [(cue.start_ms, cue.end_ms) for cue in cues]


# --- edits of words


def test_one_word_for_another_takes_its_time() -> None:
    words = at(["the", "fairy", "leaves"], [0.0, 0.5, 1.0], [0.5, 1.0, 1.5])
    assert spans(edited(words, 1, 1, "ferry")) == [("the", 0.0, 0.5), ("ferry", 0.5, 1.0), ("leaves", 1.0, 1.5)]


def test_equally_many_words_take_the_times_one_by_one() -> None:
    words = at(["ice", "cream"], [0.0, 0.1], [0.1, 1.0])
    assert spans(edited(words, 0, 1, "I scream")) == [("I", 0.0, 0.1), ("scream", 0.1, 1.0)]


def test_one_word_for_two_takes_the_time_of_both() -> None:
    words = at(["north", "haven"], [1.0, 1.6], [1.5, 2.0])
    assert spans(edited(words, 0, 1, "Northhaven")) == [("Northhaven", 1.0, 2.0)]


def test_two_words_for_one_share_its_time_by_length() -> None:
    words = at(["northhaven"], [1.0], [2.0])
    assert spans(edited(words, 0, 0, "North Haven")) == [("North", 1.0, 1.5), ("Haven", 1.5, 2.0)]


def test_silence_between_words_stays_where_it_was() -> None:
    words = at(["aaaa", "bbbb"], [0.0, 9.0], [1.0, 10.0])
    assert spans(edited(words, 0, 1, "xx yy zzzz")) == [("xx", 0.0, 0.5), ("yy", 0.5, 1.0), ("zzzz", 9.0, 10.0)]


def test_an_added_word_shares_the_time_of_the_word_before_it() -> None:
    words = at(["leaves", "at"], [0.0, 1.0], [0.9, 1.2])
    assert spans(edited(words, 0, 1, "leaves now at")) == [("leaves", 0.0, 0.6), ("now", 0.6, 0.9), ("at", 1.0, 1.2)]


def test_an_added_first_word_shares_the_time_of_the_word_after_it() -> None:
    words = at(["ferry"], [0.0], [0.8])
    assert spans(edited(words, 0, 0, "the ferry")) == [("the", 0.0, 0.3), ("ferry", 0.3, 0.8)]


def test_words_added_on_both_sides_share_the_middle_words_time() -> None:
    words = at(["ferry"], [0.0], [1.0])
    assert [word.text for word in edited(words, 0, 0, "the ferry leaves")] == ["the", "ferry", "leaves"]


def test_a_removed_word_leaves_its_time_empty() -> None:
    words = at(["well", "um", "yes"], [0.0, 1.0, 2.0], [1.0, 2.0, 3.0])
    assert spans(edited(words, 0, 1, "well")) == [("well", 0.0, 1.0), ("yes", 2.0, 3.0)]
    assert spans(edited(words, 1, 1, "")) == [("well", 0.0, 1.0), ("yes", 2.0, 3.0)]


def test_unchanged_words_inside_an_edit_keep_their_time_exactly() -> None:
    words = at(["the", "fairy", "to", "north", "haven"], [0, 1, 2, 3, 4], [0.7, 1.7, 2.7, 3.7, 4.7])
    assert spans(edited(words, 0, 4, "The ferry to Northhaven")) == [
        ("The", 0, 0.7),
        ("ferry", 1, 1.7),
        ("to", 2, 2.7),
        ("Northhaven", 3, 4.7),
    ]


def test_speaker_and_confidence_come_from_the_word_replaced() -> None:
    words = [Word("fairy", 0.0, 1.0, 0.25, glued=True, speaker="spk_1")]
    middle: Any = pytest.approx(0.556)
    assert edited(words, 0, 0, "ferry boat") == [
        Word("ferry", 0.0, middle, 0.25, glued=True, speaker="spk_1"),
        Word("boat", middle, 1.0, 0.25, glued=False, speaker="spk_1"),
    ]


def test_several_edits_are_made_in_any_order() -> None:
    words = say("a fairy leaves north haven")
    edits = [Edit(3, 4, "north haven", "Northhaven.", "m"), Edit(0, 1, "a fairy", "A ferry", "m")]
    assert join_words(correct_words(words, edits)) == "A ferry leaves Northhaven."


@pytest.mark.parametrize("edits", [[(0, 2), (1, 3)], [(2, 1)], [(3, 9)], [(-1, 0)]])
def test_edits_that_overlap_or_reach_outside_are_refused(edits: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="does not fit 5 words"):
        correct_words(say("one two three four five"), [Edit(first, last, "", "x", "m") for first, last in edits])


@st.composite
def words_and_edits(draw: st.DrawFn) -> tuple[list[Word], list[Edit]]:
    """Return words and edits that fit them."""
    words = draw(spoken_words())
    cuts = sorted(draw(st.sets(st.integers(0, len(words)), max_size=8)))
    edits = [
        Edit(first, stop - 1, join_words(words[first:stop]), " ".join(draw(st.lists(spoken_text, max_size=5))), "m")
        for first, stop in list(pairwise(cuts))[::2]
    ]
    return words, edits


@given(words_and_edits())
def test_edits_give_their_text_and_increasing_times(case: tuple[list[Word], list[Edit]]) -> None:
    words, edits = case
    corrected = correct_words(words, edits)
    texts = [word.text for word in words]
    for edit in reversed(edits):
        texts[edit.first : edit.last + 1] = edit.new.split()
    assert [word.text for word in corrected] == texts
    assert all(word.start <= word.end for word in corrected)
    assert all(before.end <= after.start + 0.001 for before, after in pairwise(corrected))
    remaining = iter(corrected)
    for number, word in enumerate(words):
        if not any(edit.first <= number <= edit.last for edit in edits):
            assert word in remaining, "what no edit touches is there as it was, in order"


# --- corrected text onto cues

CUES = [
    Cue(0, 2000, ("the fairy to north haven", "leaves at nine thirty")),
    Cue(2100, 3000, ("um",)),
    Cue(3100, 5000, ("the bridge is closed.",)),
]


def test_corrections_keep_every_time() -> None:
    corrected = correct_cues(CUES, "The ferry to North Haven leaves at 9:30. Um, the bridge is closed.")
    assert cue_texts(corrected) == ["The ferry to North Haven leaves at 9:30.", "Um,", "the bridge is closed."]
    assert times(corrected) == times(CUES)


def test_only_cues_without_words_are_dropped() -> None:
    corrected = correct_cues(CUES, "the fairy to north haven leaves at nine thirty the bridge is closed.")
    assert corrected == [CUES[0], CUES[2]]


def test_cues_whose_words_stay_keep_their_lines() -> None:
    assert (
        correct_cues(CUES, "the fairy to north haven\n\nleaves at nine thirty um the bridge was closed.")[:2]
        == CUES[:2]
    )


def test_words_added_after_a_sentence_belong_to_the_next_cue() -> None:
    cues = [Cue(0, 1000, ("It rains.",)), Cue(1100, 2000, ("stay at home.",))]
    assert cue_texts(correct_cues(cues, "It rains. Please stay at home.")) == ["It rains.", "Please stay at home."]


def test_words_added_inside_a_sentence_belong_to_the_cue_before() -> None:
    cues = [Cue(0, 1000, ("it rains",)), Cue(1100, 2000, ("in the north.",))]
    assert cue_texts(correct_cues(cues, "it rains heavily in the north.")) == ["it rains heavily", "in the north."]


def test_longer_text_is_broken_into_lines_again() -> None:
    cues = [Cue(0, 5000, ("the university of oslo", "and mary smith"))]
    text = "The University of Oslo in Norway and Dr. Mary Smith"
    assert cue_texts(correct_cues(cues, text)) == ["The University of Oslo|in Norway and Dr. Mary Smith"]
    assert cue_texts(correct_cues(cues, text, CaptionLimits(max_lines=1))) == [text]


def test_dialogue_keeps_its_dashes() -> None:
    cues = [Cue(0, 2000, ("- is it opened?", "- no, closed."))]
    assert cue_texts(correct_cues(cues, "Is it open? No, it is closed.")) == ["- Is it open?|- No, it is closed."]
    assert cue_texts(correct_cues(cues, "- Is it opened?\n- No, closed.")) == ["- Is it opened?|- No, closed."]
    assert cue_texts(correct_cues(cues, "no, closed.")) == ["no, closed."]


def test_text_without_spaces_is_corrected_by_characters() -> None:
    cues = [Cue(0, 1000, ("今天天汽很好",)), Cue(1100, 2000, ("我们出去",))]
    assert cue_texts(correct_cues(cues, "今天天气很好\n我们出去吧")) == ["今天天气很好", "我们出去吧"]


@pytest.mark.parametrize(
    "text",
    ["", "...", "Quarterly revenues of manufacturing companies grew slowly despite inflation.", "zebra " * 500],
)
def test_an_unrelated_text_is_refused(text: str) -> None:
    with pytest.raises(UnrelatedText, match="captions"):
        correct_cues(CUES, text)


def test_captions_without_words_accept_only_an_empty_text() -> None:
    assert correct_cues([], "") == []
    with pytest.raises(UnrelatedText):
        correct_cues([], "words")


def test_badly_misheard_speech_can_still_be_corrected() -> None:
    cues = make_cues(say("the fairy to nort hayvan leafs add nein dirty two morrow mourning"))
    text = "The ferry to North Haven leaves at nine thirty tomorrow morning."
    assert " ".join(line for cue in correct_cues(cues, text) for line in cue.lines) == text


@st.composite
def speech_and_correction(draw: st.DrawFn) -> tuple[list[Word], list[str]]:
    """Return words, and a wording of them with changed, added and removed words."""
    words = draw(spoken_words())
    new: list[str] = []
    for word in words:
        change = draw(st.sampled_from(["keep"] * 6 + ["change", "add", "drop"]))
        new += [word.text] if change in ("keep", "add") else []
        new += [draw(spoken_text)] if change in ("change", "add") else []
    return words, new


@given(speech_and_correction())
def test_corrected_cues_have_the_new_words_and_the_old_times(case: tuple[list[Word], list[str]]) -> None:
    words, new = case
    cues = make_cues(words)
    try:
        corrected = correct_cues(cues, " ".join(new))
    except UnrelatedText:
        assume(False)
        return
    assert " ".join(line for cue in corrected for line in cue.lines).split() == new
    remaining = iter(times(cues))
    assert all(time in remaining for time in times(corrected)), "the times of some of the cues, in order"
    assert all(cue.lines and all(cue.lines) for cue in corrected)


@given(spoken_words(speakers=True))
def test_correcting_with_the_same_text_changes_nothing(words: list[Word]) -> None:
    cues = make_cues(words)
    several = len({word.speaker for word in words if word.speaker}) > 1
    assert correct_cues(cues, without_speakers(to_text(words)) if several else to_text(words)) == cues
