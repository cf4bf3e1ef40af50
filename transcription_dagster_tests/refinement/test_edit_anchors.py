from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from transcription_dagster.model import Edit
from transcription_dagster.refinement.edit_anchors import Anchors, compose
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.word_edits import correct_words
from transcription_dagster_tests.sample_transcripts import spoken

WORDS = spoken("w0 w1 w2 w3 w4 w5 w6 w7")


def test_places_move_with_the_edits_before_them() -> None:
    anchors = Anchors(WORDS, [Edit(1, 2, "w1 w2", "x", "a"), Edit(5, 5, "w5", "y z", "a")])
    assert [anchors.new_index(index) for index in range(8)] == [0, 1, None, 2, 3, 4, 6, 7]
    assert anchors.old_span(1, 2) == (1, 3)
    assert anchors.old_span(4, 5) == (5, 6)
    assert anchors.old_span(2, 4) == (3, 5)
    assert anchors.whole_span(5, 7) == (4, 7)


def test_two_rounds_that_touch_the_same_words_become_one_edit() -> None:
    first = [Edit(1, 2, "w1 w2", "x y", "vocabulary")]
    second = [Edit(2, 3, "y w3", "y, w3.", "punctuation")]
    [edit] = compose(WORDS, first, second)
    assert edit == Edit(1, 3, "w1 w2 w3", "x y, w3.", "vocabulary")


def test_a_round_that_undoes_the_first_leaves_no_edit() -> None:
    assert compose(WORDS, [Edit(1, 1, "w1", "x", "a")], [Edit(1, 1, "x", "w1", "b")]) == []


@st.composite
def rounds(draw: st.DrawFn, length: int, *, shortest: int) -> list[Edit]:
    """Return edits without overlap, with at least `shortest` new words."""
    edits: list[Edit] = []
    first = draw(st.integers(0, 3))
    while first < length:
        last = min(first + draw(st.integers(0, 2)), length - 1)
        new = draw(st.lists(st.sampled_from("abcdef"), min_size=shortest, max_size=3))
        edits.append(Edit(first, last, "", " ".join(new), "a"))
        first = last + 1 + draw(st.integers(0, 3))
    return edits


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_composed_edits_equal_both_rounds(data: st.DataObject) -> None:
    first = data.draw(rounds(len(WORDS), shortest=1))
    between = correct_words(WORDS, first)
    second = data.draw(rounds(len(between), shortest=0))
    composed = compose(WORDS, first, second)
    assert [word.text for word in correct_words(WORDS, composed)] == [
        word.text for word in correct_words(between, second)
    ]
    assert all(edit.old in ("", join_words(WORDS[edit.first : edit.last + 1])) for edit in composed)
