"""Alignment of two wordings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.language.alignment import AlignedBlock, Token, align, counterparts, related_share, tokenize
from transcription_dagster_tests.captions.speech import spoken_text

texts = st.lists(spoken_text, max_size=30)


def share(old: str, new: str) -> float:
    """Return how related two texts are."""
    return related_share(old.split(), new.split(), align(old.split(), new.split()))


@given(texts, texts)
def test_blocks_cover_both_in_order_and_alternate(old: list[str], new: list[str]) -> None:
    old_stop = new_stop = 0
    same = None
    for block in align(old, new):
        assert (block.old_first, block.new_first) == (old_stop, new_stop)
        assert block.same != same
        old_stop, new_stop, same = block.old_stop, block.new_stop, block.same
        if same:
            assert block.old_stop - block.old_first == block.new_stop - block.new_first
    assert (old_stop, new_stop) == (len(old), len(new))


def test_words_are_equal_despite_case_and_punctuation() -> None:
    assert align(["hello", "WORLD"], ["Hello,", "world!"]) == [AlignedBlock(True, 0, 2, 0, 2)]


def test_words_of_only_punctuation_are_compared_exactly() -> None:
    assert align(["—"], ["…"]) == [AlignedBlock(False, 0, 1, 0, 1)]


def test_neighbouring_changes_are_one_block() -> None:
    assert align(["a", "b", "c", "d"], ["a", "x", "y", "z", "d"]) == [
        AlignedBlock(True, 0, 1, 0, 1),
        AlignedBlock(False, 1, 3, 1, 4),
        AlignedBlock(True, 3, 4, 4, 5),
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("the ferry leaves", "the ferry leaves", 1.0),
        ("the ferry leaves", "the fairy leafs", 1.0),
        ("helo wrld", "Hello, world!", 1.0),
        ("", "", 1.0),
        ("the ferry leaves", "", 0.0),
        ("", "the ferry leaves", 0.0),
        ("ferry harbour evening", "quinces and mangos", 0.0),
    ],
)
def test_corrections_are_related_and_other_texts_are_not(old: str, new: str, expected: float) -> None:
    assert share(old, new) == pytest.approx(expected, abs=0.15)


def test_equally_many_words_are_matched_one_by_one() -> None:
    assert counterparts(["a", "bbbbbbbb", "c"], ["dddddddd", "e", "f"]) == [0, 1, 2]


def test_unequally_many_words_are_matched_by_letters() -> None:
    assert counterparts(["north", "haven"], ["Northhaven"]) == [1]
    assert counterparts(["northhaven"], ["North", "Haven"]) == [0, 0]
    assert counterparts(["a", "lengthy"], ["a", "much", "lengthier"]) == [0, 1, 1]
    assert counterparts(["inn.", "MAN:"], ["in."]) == [0]
    assert counterparts(["to", "bee", "or"], ["be"]) == [1]


@given(st.lists(spoken_text, min_size=1), st.lists(spoken_text))
def test_counterparts_exist_and_never_go_backward(old: list[str], new: list[str]) -> None:
    places = counterparts(old, new)
    assert places == sorted(places)
    assert all(0 <= place < len(old) for place in places)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello,  world!\n Yes", ["Hello,", "world!", "Yes"]),
        ("", []),
        ("今天，天气", ["今", "+天，", "+天", "+气"]),
        ("我用iPhone。", ["我", "+用", "+iPhone。"]),
        ("「今天」很", ["「今", "+天」", "+很"]),
        ("今天\n天气", ["今", "+天", "+天", "+气"]),
        ("今天 天气", ["今", "+天", "天", "+气"]),
        ("ที่นี่", ["ที่", "+นี่"]),
        ("안녕하세요 여러분", ["안녕하세요", "여러분"]),
        ("–", ["–"]),
    ],
)
def test_tokens_are_words_or_characters_where_there_are_no_spaces(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == [Token(token.removeprefix("+"), token.startswith("+")) for token in tokens]


@given(st.text(st.characters(exclude_categories=("C",)), max_size=40))
def test_tokens_lose_nothing(text: str) -> None:
    assert "".join(token.text for token in tokenize(text)) == "".join(text.split())
