"""Repaired times go forward, and correct times stay the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given

from transcription_dagster.model import Word
from transcription_dagster.transcripts.word_timing import SECONDS_PER_CHARACTER, repair_timings, settle_spans
from transcription_dagster_tests.captions.speech import at, spoken_words, wild_words


@given(spoken_words())
def test_valid_times_are_kept_exactly(words: list[Word]) -> None:
    assert repair_timings(words) == words


@given(wild_words)
def test_repaired_times_increase_without_overlap(words: list[Word]) -> None:
    repaired = repair_timings(words)
    assert [word.text for word in repaired] == [word.text for word in words]
    assert all(0 <= word.start <= word.end for word in repaired)
    assert all(before.end <= after.start for before, after in pairwise(repaired))


def test_one_wild_time_does_not_move_the_words_after_it() -> None:
    words = at(["a", "b", "c", "d"], [0.0, 999.0, 2.0, 3.0], [1.0, 999.5, 3.0, 4.0])
    repaired = repair_timings(words)
    assert [repaired[0], *repaired[2:]] == [words[0], *words[2:]]
    assert 1.0 <= repaired[1].start <= repaired[1].end <= 2.0


def test_a_word_with_a_time_in_the_past_moves_between_its_neighbours() -> None:
    words = at(["a", "b", "c", "d"], [4.0, 5.0, 2.0, 6.0], [4.5, 5.5, 2.5, 7.0])
    repaired = repair_timings(words)
    assert [*repaired[:2], repaired[3]] == [*words[:2], words[3]]
    assert 5.5 <= repaired[2].start < repaired[2].end <= 6.0


def test_an_overlap_is_cut_where_the_next_word_starts() -> None:
    assert settle_spans([(0.0, 2.0), (1.0, 3.0)], [1, 1]) == [(0.0, 1.0), (1.0, 3.0)]


def test_a_word_that_ends_before_it_starts_takes_no_time() -> None:
    assert settle_spans([(1.0, 0.5)], [1]) == [(1.0, 1.0)]


def test_words_without_times_share_the_gap_by_their_length() -> None:
    spans = settle_spans([(0.0, 1.0), (None, None), (None, None), (1.3, 2.0)], [3, 2, 4, 3])
    assert spans == [(0.0, 1.0), (1.0, 1.1), (1.1, 1.3), (1.3, 2.0)]


def test_words_without_times_do_not_fill_a_long_silence() -> None:
    spans = settle_spans([(0.0, 1.0), (None, None), (60.0, 61.0)], [3, 5, 3])
    assert spans[1] == (1.0, pytest.approx(1.0 + 5 * SECONDS_PER_CHARACTER))


def test_words_without_any_times_follow_at_the_pace_of_speech() -> None:
    assert settle_spans([(None, None), (None, None)], [5, 10]) == [(0.0, 0.3), (0.3, 0.9)]


def test_words_before_the_first_known_time_lead_up_to_it() -> None:
    assert settle_spans([(None, None), (10.0, 11.0)], [5, 3]) == [(9.7, 10.0), (10.0, 11.0)]


def test_a_missing_end_is_guessed_and_cut_by_the_next_word() -> None:
    assert settle_spans([(0.0, None), (0.1, None)], [10, 10]) == [(0.0, 0.1), (0.1, 0.7)]


def test_negative_times_begin_at_zero() -> None:
    assert settle_spans([(-1.0, 0.5)], [1]) == [(0.0, 0.5)]
