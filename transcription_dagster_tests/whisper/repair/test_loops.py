"""Repeated phrases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.model import Word
from transcription_dagster.whisper.repair.hallucinations import Loop, find_loops, was_spoken
from transcription_dagster.whisper.spans import Span


def repeated_words(words: list[str]) -> set[int]:
    """Return the words of all loops except the first occurrences."""
    return {index for loop in find_loops(words) for index in loop.repeats}


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("", []),
        ("one two three", []),
        ("thank you for listening " * 3, []),
        ("no " * 11, []),
        ("very " * 12, list(range(1, 12))),
        ("thank you for listening " * 4, list(range(4, 16))),
        ("first " + "a b c " * 4 + "last words", list(range(4, 13))),
        ("Thank you. thank YOU! thank, you? thank you thank you thank you", list(range(2, 12))),
        ("a b " * 5, []),
    ],
)
def test_all_but_the_first_of_many_repetitions_is_a_loop(text, repeated):
    assert sorted(repeated_words(text.split())) == repeated


def test_separate_punctuation_counts_as_a_word():
    assert repeated_words(["-", "…"] * 3) == set()


@given(st.lists(st.sampled_from("abcdefgh"), max_size=11))
def test_a_short_text_never_loops(words):
    assert repeated_words(words) == set()


@given(
    phrase=st.lists(st.sampled_from(["red", "blue", "green", "gold"]), min_size=3, max_size=12), times=st.integers(4, 9)
)
def test_the_first_occurrence_and_the_surrounding_words_stay(phrase, times):
    words = ["before", *phrase * times, "after"]
    doubtful = repeated_words(words)
    assert {0, len(words) - 1}.isdisjoint(doubtful)
    assert len(words) - 2 - len(doubtful) <= len(phrase)
    assert doubtful


@given(st.lists(st.integers(0, 10**9), unique=True, max_size=60))
def test_distinct_words_never_form_a_loop(numbers):
    assert repeated_words([str(number) for number in numbers]) == set()


def test_loops_do_not_overlap_and_have_the_shortest_phrase():
    assert find_loops(["a"] * 24) == [Loop(0, 24, 1)]
    assert find_loops([*["a", "b", "c"] * 4, "x", *["d", "e", "f"] * 5]) == [Loop(0, 12, 3), Loop(13, 28, 3)]


def test_the_last_repetition_may_be_incomplete():
    assert list(Loop(2, 9, 3).repetitions()) == [range(2, 5), range(5, 8), range(8, 9)]


COUNTED = [Word(text, at, at + 0.5) for at, text in enumerate(["one", "two", "three"] * 4)]


@pytest.mark.parametrize(
    ("speech", "spoken"),
    [
        ([Span(at, at + 0.5) for at in range(12)], True),
        ([Span(at, at + 2.5) for at in range(0, 12, 3)], True),
        ([Span(0, 11.5)], False),
        ([Span(at, at + 0.5) for at in range(9)], False),
        ([], False),
    ],
    ids=["each number", "each round", "one breath", "a round too many", "no speech"],
)
def test_repetitions_were_spoken_if_each_has_speech_of_its_own(speech, spoken):
    assert was_spoken(Loop(0, 12, 3), COUNTED, speech) == spoken
