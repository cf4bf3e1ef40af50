from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.model import Edit
from transcription_dagster.refinement.text_windows import (
    TextWindow,
    join_edits,
    join_places,
    make_windows,
    split_window,
)
from transcription_dagster_tests.sample_transcripts import spoken


def edit(first: int, new: str) -> Edit:
    return Edit(first, first, "old", new, "mishearing")


def test_a_short_text_is_one_window() -> None:
    assert make_windows(spoken("one two three"), 10, 2) == [TextWindow(0, 3)]
    assert make_windows([], 10, 2) == []


def test_windows_end_with_sentences_near_their_limit() -> None:
    words = spoken(" ".join(["One two three."] * 60))
    windows = make_windows(words, 50, 5)
    assert all(words[window.stop - 1].text == "three." for window in windows)


def test_an_overlap_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap of 5"):
        make_windows(spoken("one"), 10, 5)


@given(st.integers(0, 400), st.integers(3, 60), st.integers(0, 29), st.sets(st.integers(0, 399)))
def test_windows_cover_everything_and_overlap(count: int, size: int, overlap: int, ends: set[int]) -> None:
    overlap = min(overlap, (size - 1) // 2)
    words = spoken(" ".join("end." if place in ends else "word" for place in range(count)))
    windows = make_windows(words, size, overlap)
    assert all(0 < len(window) <= size for window in windows)
    if count:
        assert (windows[0].first, windows[-1].stop) == (0, count)
    for before, after in pairwise(windows):
        assert before.first < after.first <= max(before.stop - overlap, before.first + 1)
        assert after.stop > before.stop


@given(st.integers(1, 50), st.integers(0, 10))
def test_the_halves_of_a_window_join_to_the_whole(length: int, first: int) -> None:
    words = spoken(" ".join(["word"] * (first + length)))
    window = TextWindow(first, first + length)
    halves = split_window(words, window)
    assert [index for half in halves for index in range(half.first, half.stop)] == list(range(first, first + length))
    assert length == 1 or max(len(half) for half in halves) < length


def test_in_an_overlap_the_more_central_window_wins() -> None:
    early, late = TextWindow(0, 60), TextWindow(40, 100)
    joined = join_edits({late: [edit(45, "late"), edit(55, "late")], early: [edit(45, "early"), edit(55, "early")]})
    assert [(winner.first, winner.new) for winner in joined] == [(45, "early"), (55, "late")]
    assert join_places({early: [45, 55, 70], late: [45, 55, 70]}) == [45, 55, 70]


def test_a_window_without_an_answer_leaves_its_overlaps_to_the_others() -> None:
    assert [winner.first for winner in join_edits({TextWindow(0, 60): [edit(55, "early")]})] == [55]


def test_an_edit_outside_its_window_is_left_to_validation() -> None:
    assert join_edits({TextWindow(0, 60): [edit(80, "early")], TextWindow(40, 100): []}) == [edit(80, "early")]


def test_an_edit_with_an_absurd_index_is_left_to_validation() -> None:
    absurd = Edit(10**400, 10**400, "a", "b", "mishearing")
    assert join_edits({TextWindow(0, 60): [absurd]}) == [absurd]
