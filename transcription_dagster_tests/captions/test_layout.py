"""Lines within one cue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.captions.layout import break_lines, display_width
from transcription_dagster.model import Word
from transcription_dagster_tests.captions.speech import say, spoken_text


def lines(text: str, *, max_lines: int = 2, width: int = 42) -> tuple[str, ...]:
    return break_lines(say(text), max_lines, width)


@pytest.mark.parametrize(
    ("text", "width"), [("ferry", 5), ("", 0), ("天气", 4), ("😀", 2), ("e\u0301", 1), ("שלום", 4)]
)
def test_the_width_counts_columns(text: str, width: int) -> None:
    assert display_width(text) == width


def test_text_that_fits_one_line_stays_on_one() -> None:
    assert lines("The ferry to North Haven leaves at nine.") == ("The ferry to North Haven leaves at nine.",)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The weather in the north will be fine,", "with light winds"),
        ("All ferries to the islands are cancelled", "because of the strong winds"),
        ("She said that the University of Oslo", "and Mary Smith had won the case"),
        ("The bridge over the river", "was closed for twenty five hours"),
        ("Most of the people who came", "to see Elizabeth Anne Miller were late"),
    ],
)
def test_lines_break_where_the_style_guides_say(first: str, second: str) -> None:
    assert lines(f"{first} {second}") == (first, second)


def test_no_word_is_left_alone_on_a_line_for_its_comma() -> None:
    assert lines("Yes, and the weather in the north will be fine all day")[0] != "Yes,"


def test_equally_good_breaks_make_even_lines() -> None:
    assert lines("apple cherry melon orange quince raisin banana tomato") == (
        "apple cherry melon orange",
        "quince raisin banana tomato",
    )


def test_a_word_wider_than_a_line_is_whole_and_alone() -> None:
    long = "Donaudampfschifffahrtsgesellschaftskapitänsmütze"
    assert lines(f"the {long}") == ("the", long)


def test_three_lines_are_used_if_allowed() -> None:
    assert lines("one two three four five six", max_lines=3, width=10) == ("one two", "three four", "five six")


def test_no_more_lines_are_used_than_the_words_need() -> None:
    assert lines("one two three four", max_lines=3, width=10) == ("one two", "three four")


def test_too_many_words_give_wider_lines_not_more_lines() -> None:
    assert len(lines("one two three four five six seven eight", width=10)) == 2


def test_no_words_give_no_lines() -> None:
    assert break_lines([], 2, 42) == ()


@given(st.lists(spoken_text, min_size=1, max_size=25), st.integers(1, 3), st.integers(5, 50))
def test_every_word_is_in_one_line_in_order(texts: list[str], max_lines: int, width: int) -> None:
    words = [Word(text, 0.0, 0.0) for text in texts]
    result = break_lines(words, max_lines, width)
    assert " ".join(result).split() == texts
    assert 1 <= len(result) <= max_lines
