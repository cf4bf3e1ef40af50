from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcription_dagster.language.sentences import cut_text, sentences

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200) | st.text('ab. \n。é😀!"', max_size=200)


@settings(deadline=None)
@given(TEXTS, st.integers(4, 60))
def test_pieces_are_the_whole_text_and_none_is_too_long(text: str, max_bytes: int) -> None:
    pieces = cut_text(text, max_bytes)
    assert "".join(piece.text for piece in pieces) == text
    for piece in pieces:
        assert 0 < len(piece.text.encode()) <= max_bytes
        assert text[piece.start : piece.end] == piece.text


@settings(deadline=None)
@given(TEXTS, st.integers(4, 60))
def test_a_piece_ends_inside_a_word_only_if_it_has_no_other_place(text: str, max_bytes: int) -> None:
    for piece in cut_text(text, max_bytes)[:-1]:
        inside_a_word = not piece.text[-1].isspace() and piece.text[-1] not in "。！？｡؟।」』”’"
        assert not inside_a_word or not any(letter.isspace() for letter in piece.text)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("One. Two. Three.", ["One. Two. ", "Three."]),
        ('He said "no." Then he left.', ["He said ", '"no." ', "Then he ", "left."]),
        ("It is 3.14 today. Goodbye", ["It is 3.14 ", "today. ", "Goodbye"]),
        ("first line\nsecond", ["first line\n", "second"]),
        ("一二三。四五六。", ["一二三。", "四五六。"]),
        ("abcdefghijklmnop", ["abcdefghijkl", "mnop"]),
        ("ééééééééé", ["éééééé", "ééé"]),
    ],
)
def test_pieces_end_with_sentences_else_with_words(text: str, pieces: list[str]) -> None:
    assert [piece.text for piece in cut_text(text, 12)] == pieces


def test_sentences_have_no_space_around_them() -> None:
    assert sentences(" One.  Two!\n\nThree? 四。五 ") == ["One.", "Two!", "Three?", "四。", "五"]
    assert sentences(" \n") == []
