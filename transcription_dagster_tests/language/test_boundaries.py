"""The cost of breaking a text between two words."""

from __future__ import annotations

from itertools import pairwise

import pytest

from transcription_dagster.language.boundaries import (
    AFTER_FUNCTION_WORD,
    ANYWHERE,
    BEFORE_CONJUNCTION,
    BEFORE_FUNCTION_WORD,
    CLAUSE_END,
    INSIDE_NAME_OR_NUMBER,
    INSIDE_WORD,
    LONG_PAUSE,
    PAUSE,
    SENTENCE_END,
    break_cost,
    closes_sentence,
    ends_sentence,
)
from transcription_dagster.model import Word
from transcription_dagster_tests.captions.speech import say


def cost(text: str) -> float:
    """Return the cost at the bar in `text`; `|-` marks a glued word."""
    before, after = text.split("|")
    glued = after.startswith("-")
    first = say(before)[-1]
    return break_cost(first, Word(after.split()[0], first.end, first.end + 0.3, glued=glued))


#: Words whose patterns take hours if they go back.
LONG_WORDS = {
    "notes": "♪" * 300_000 + "x",
    "notes and full stops": "♪." * 150_000 + "x",
    "full stops": "." * 300_000 + "x",
}


@pytest.mark.parametrize("word", LONG_WORDS.values(), ids=LONG_WORDS)
def test_a_long_run_of_notes_or_full_stops_is_processed_in_linear_time(word: str) -> None:
    assert break_cost(Word(word, 0.0, 1.0), Word("leaves", 1.0, 1.3)) == ANYWHERE
    assert not closes_sentence(word)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rained. | Then", SENTENCE_END),
        ("Really? | yes", SENTENCE_END),
        ('she said." | Then', SENTENCE_END),
        ("到了。 | 他", SENTENCE_END),
        ("in 1990. | Then", SENTENCE_END),
        ("It was, | however", CLAUSE_END),
        ("well… | maybe", CLAUSE_END),
        ("etc. | and", BEFORE_CONJUNCTION),
        ("ferry | because", BEFORE_CONJUNCTION),
        ("ferry | to", BEFORE_FUNCTION_WORD),
        ("ferry | leaves", ANYWHERE),
        ("the | ferry", AFTER_FUNCTION_WORD),
        ("University | of", AFTER_FUNCTION_WORD),
        ("five | ferries", AFTER_FUNCTION_WORD),
        ("New | York", INSIDE_NAME_OR_NUMBER),
        ("Dr. | Smith", INSIDE_NAME_OR_NUMBER),
        ("J. | Smith", INSIDE_NAME_OR_NUMBER),
        ("president | Kennedy", INSIDE_NAME_OR_NUMBER),
        ("3.5 | million", INSIDE_NAME_OR_NUMBER),
        ("twenty | five", INSIDE_NAME_OR_NUMBER),
        ("12 | percent", INSIDE_NAME_OR_NUMBER),
        ("4 | July", INSIDE_NAME_OR_NUMBER),
        ("March | 12", INSIDE_NAME_OR_NUMBER),
        ("twenty |-five", INSIDE_WORD),
    ],
)
def test_the_cost_of_a_break(text: str, expected: float) -> None:
    assert cost(text) == expected


def test_pauses_make_a_break_cheaper_but_not_free() -> None:
    costs = [break_cost(*say(f"ferry {pause} leaves")) for pause in ("[0]", "[0.5]", "[1.2]")]
    assert costs == [ANYWHERE, PAUSE, LONG_PAUSE]


def test_a_comma_without_a_pause_costs_no_more() -> None:
    assert break_cost(*say("ferry, [0.5] leaves")) == CLAUSE_END


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Dr. Smith", [False, True]),
        ("at 5 p.m. tomorrow.", [False, False, False, True]),
        ("the U.S. Then", [False, False, True]),
        ("It is 3. 5 more", [False, False, True, False, True]),
        ("No. Yes!", [True, True]),
        ("wait... what", [False, True]),
    ],
)
def test_sentences_end_at_full_stops_that_are_not_of_abbreviations(text: str, ends: list[bool]) -> None:
    words = say(text)
    assert [*(ends_sentence(a, b) for a, b in pairwise(words)), ends_sentence(words[-1], None)] == ends


def test_a_decimal_point_at_the_edge_of_a_word_ends_no_sentence() -> None:
    point, five = Word("3.", 0.0, 0.2), Word("5", 0.2, 0.4, glued=True)
    assert not ends_sentence(point, five)
    assert break_cost(point, five) == INSIDE_WORD


def test_words_of_a_script_without_spaces_can_be_parted() -> None:
    assert break_cost(Word("今天", 0.0, 0.2), Word("天气", 0.2, 0.4, glued=True)) == ANYWHERE


def test_a_sentence_closes_with_its_mark_also_inside_quotes() -> None:
    assert closes_sentence('over."')
    assert not closes_sentence("over,")
    assert not closes_sentence("")


def test_a_sentence_ends_where_the_language_changes() -> None:
    english, german = Word("museum", 0, 1, language="en"), Word("guten", 1, 2, language="de")
    assert ends_sentence(english, german)
    assert not ends_sentence(english, Word("guide", 1, 2, language="en"))
    assert not ends_sentence(english, Word("guide", 1, 2))
