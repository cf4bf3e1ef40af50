"""Which words are an e-mail address, and where it begins and ends."""

from __future__ import annotations

import pytest

from transcription_dagster.model import Word
from transcription_dagster.redaction.spoken_addresses import spoken_addresses


def addresses(text: str, language: str = "en") -> list[str]:
    words = [Word(part, float(number), number + 0.9) for number, part in enumerate(text.split())]
    spans = spoken_addresses(words, language)
    return [" ".join(word.text for word in words[first:stop]) for first, stop in spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it is jane at example dot org, yes", "jane at example dot org,"),
        ("it is jane at mail dot example dot co dot uk", "jane at mail dot example dot co dot uk"),
        ("write to sales dash team at my dash company dot io", "sales dash team at my dash company dot io"),
        ("so b smith 42 at example.com", "b smith 42 at example.com"),
        ("send it to jane @example.org", "jane @example.org"),
        ("to jane@ example dot org", "jane@ example dot org"),
        ("it's jane smith at example dot com, all one word", "jane smith at example dot com,"),
        ("it's jane uh smith at um example dot com", "jane uh smith at um example dot com"),
        ("it's jane at, uh, example dot com", "jane at, uh, example dot com"),
        ("it's Jane@example dot com", "Jane@example dot com"),
        ("it's jane at Gmail com", "jane at Gmail com"),
        ("it's jane at g mail dot com", "jane at g mail dot com"),
        ("it's jane at sign example dot com", "jane at sign example dot com"),
    ],
)
def test_an_address_is_found_from_its_first_to_its_last_word(text: str, expected: str) -> None:
    assert addresses(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "at example dot com",
        "find us at example dot com",
        "I looked at example.com",
        "at twenty to nine at the dot com bubble",
        "jane at gmail",
        "I met her at",
        "we are at home. Dot is here",
        "look at it dot",
        "look at the site",
        "he is at the office dash",
        "@",
    ],
)
def test_other_words_are_no_address(text: str) -> None:
    assert addresses(text) == []


def test_an_underscore_of_two_words_is_part_of_an_address() -> None:
    assert addresses("es juan guion bajo perez arroba ejemplo punto es", "es") == [
        "juan guion bajo perez arroba ejemplo punto es"
    ]
    assert addresses("c'est jean tiret du bas dupont arobase exemple point fr", "fr") == [
        "jean tiret du bas dupont arobase exemple point fr"
    ]
    assert addresses("du arobase exemple point fr tiret", "fr") == ["du arobase exemple point fr"]
    assert addresses("mario trattino basso rossi chiocciola esempio punto it", "it") == [
        "mario trattino basso rossi chiocciola esempio punto it"
    ]
