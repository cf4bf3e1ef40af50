"""Edits of timed words change their text and keep their times."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.model import Edit, Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.word_edits import correct_words
from transcription_dagster_tests.captions.speech import at, say, spoken_text, spoken_words


def edited(words: list[Word], first: int, last: int, new: str) -> list[Word]:
    """Return the words after one edit."""
    old = join_words(words[first : last + 1])
    return correct_words(words, [Edit(first, last, old, new, "mishearing")])


def spans(words: list[Word]) -> list[tuple[str, float, float]]:
    """Return texts with their times."""
    return [(word.text, word.start, word.end) for word in words]


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


@pytest.mark.parametrize("edits", [[(0, 2), (1, 3)], [(2, 1)], [(4, 5)], [(-1, 0)]])
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
