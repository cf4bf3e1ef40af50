from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.language.spelling import affixes, fold, folded_words, letters, similarity


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('"Well,', ('"', "Well", ",")),
        ("C#.", ("", "C#", ".")),
        ("50%,", ("", "50%", ",")),
        ("-five", ("-", "five", "")),
        ("…", ("…", "", "")),
        ("", ("", "", "")),
    ],
)
def test_punctuation_around_a_word_is_separated(text: str, parts: tuple[str, str, str]) -> None:
    assert affixes(text) == parts


@given(st.text())
def test_the_parts_of_a_word_are_the_word(text: str) -> None:
    assert "".join(affixes(text)) == text
    assert fold(fold(text)) == fold(text) or not text.isascii()


def test_words_are_compared_without_case_punctuation_and_hyphens() -> None:
    assert folded_words("“Twenty-Five”, DON’T!") == ("twenty", "five", "don't")


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("its", "It's", True),
        ("every day", "everyday", True),
        ("3.14", "314", False),
        ("10 15", "1015", False),
        ("10-15", "10 15", False),
        ("no", "now", False),
        ("हिंदी", "हदी", False),
    ],
)
def test_the_same_letters_sound_the_same(first: str, second: str, alike: bool) -> None:
    assert (letters(first) == letters(second)) is alike


@pytest.mark.parametrize(
    ("misheard", "term"),
    [
        ("cooper netties", "Kubernetes"),
        ("engine x", "nginx"),
        ("gear a", "Jira"),
        ("post grass queue l", "PostgreSQL"),
        ("no", "know"),
        ("affect", "effect"),
    ],
)
def test_similar_sounding_words_are_similar(misheard: str, term: str) -> None:
    assert similarity(misheard, term) >= 0.5


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("the weather was nice", "stocks fell sharply"),
        ("monday", "tuesday"),
        ("met", "Kubernetes"),
        ("22", "twenty two"),
    ],
)
def test_different_sounding_words_are_not_similar(text: str, term: str) -> None:
    assert similarity(text, term) < 0.5


@given(st.text(max_size=30), st.text(max_size=30))
def test_similarity_is_a_share(first: str, second: str) -> None:
    assert 0.0 <= similarity(first, second) <= 1.0
    assert similarity(first, first) == 1.0
