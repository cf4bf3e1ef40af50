"""Splitting a text into words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.language.tokenization import Token, token_starts, tokenize


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


@given(st.text(st.characters(exclude_categories=("C",)), max_size=40))
def test_each_token_starts_where_the_one_before_has_ended(text: str) -> None:
    tokens = tokenize(text)
    starts = token_starts(text, tokens)
    stops = [start + len(token.text) for start, token in zip(starts, tokens, strict=True)]
    assert [text[start:stop] for start, stop in zip(starts, stops, strict=True)] == [token.text for token in tokens]
    assert not any(text[stop:start].strip() for stop, start in zip([0, *stops], [*starts, len(text)], strict=True))
