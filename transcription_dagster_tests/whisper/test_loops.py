"""Phrases that are said over and over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.whisper.loops import repeated_words


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
def test_all_but_the_first_of_many_repeats(text, repeated):
    assert sorted(repeated_words(text.split())) == repeated


def test_punctuation_alone_is_a_word_of_its_own():
    assert repeated_words(["-", "…"] * 3) == set()


@given(st.lists(st.sampled_from("abcdefgh"), max_size=11))
def test_a_short_text_never_loops(words):
    assert repeated_words(words) == set()


@given(
    phrase=st.lists(st.sampled_from(["red", "blue", "green", "gold"]), min_size=3, max_size=12), times=st.integers(4, 9)
)
def test_the_first_time_and_everything_around_it_stays(phrase, times):
    words = ["before", *phrase * times, "after"]
    doubtful = repeated_words(words)
    assert {0, len(words) - 1}.isdisjoint(doubtful)
    assert len(words) - 2 - len(doubtful) <= len(phrase)
    assert doubtful


@given(st.lists(st.integers(0, 10**9), unique=True, max_size=60))
def test_words_that_differ_are_never_doubted(numbers):
    assert repeated_words([str(number) for number in numbers]) == set()
