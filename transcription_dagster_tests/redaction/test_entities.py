"""Entities in a text, as the words they are in, and findings of two detectors merged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.model import Word
from transcription_dagster.redaction.entities import EntitySpan, entities_in_words, mentions, merged_detections
from transcription_dagster.redaction.patterns import Detection

NAMES = ("Zoë", "Ada", "Bo")


def test_entities_are_the_words_they_touch_in_any_piece_of_the_text() -> None:
    text = "We met Zoë. It was (Ada)."
    words = [Word(part, float(number), number + 0.9) for number, part in enumerate(text.split())]
    # A word that no space precedes.
    words += [Word("!", 6.0, 6.1, glued=True), Word("Bo", 7.0, 7.9)]

    def detect(text: str) -> list[EntitySpan]:
        names = [EntitySpan(text.index(name), text.index(name) + len(name), "name") for name in NAMES if name in text]
        return [*names, EntitySpan(0, 2, "digits")]

    whole = entities_in_words(words, {"name"}, 1000, detect)
    assert whole == [Detection(2, 3, "name"), Detection(5, 6, "name"), Detection(7, 8, "name")]
    assert entities_in_words(words, {"name"}, 14, detect) == whole


def test_words_that_others_found_first_are_cut_out_of_a_detection() -> None:
    postcode = [Detection(4, 5, "digits")]
    assert merged_detections(
        postcode, [Detection(1, 7, "address"), Detection(4, 5, "phone"), Detection(9, 10, "name")]
    ) == [
        Detection(1, 4, "address"),
        Detection(4, 5, "digits"),
        Detection(5, 7, "address"),
        Detection(9, 10, "name"),
    ]


SPANS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)))


@given(SPANS, SPANS)
def test_merged_detections_are_disjoint_and_hold_every_word_that_either_has(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    cards_first, names = (
        [Detection(begin, begin + size, kind) for begin, size in spans]
        for spans, kind in ((first, "card"), (second, "name"))
    )
    detections = merged_detections(merged_detections([], cards_first), names)
    places = [place for detection in detections for place in range(detection.first, detection.stop)]
    assert places == sorted(set(places))
    assert set(places) == {
        place for detection in [*cards_first, *names] for place in range(detection.first, detection.stop)
    }
    cards = {
        place
        for detection in detections
        if detection.kind == "card"
        for place in range(detection.first, detection.stop)
    }
    assert cards == {place for detection in cards_first for place in range(detection.first, detection.stop)}


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("Ada Brooks came; (ADA Brooks) too. Ada, Brook", [(0, 2), (3, 5)]),
        ("Ada alone and Brooks", []),
        ("We may see May, or May.", [(3, 4), (5, 6)]),
        ("It was at Mary-Ann's.", []),
        ("Said Mary-Ann, twice: Mary-Ann", [(1, 2), (3, 4)]),
        ("", []),
    ],
)
def test_phrases_are_found_as_whole_words_in_any_case_that_has_their_capital(
    text: str, places: list[tuple[int, int]]
) -> None:
    phrases = [("name", ["Ada", "Brooks,"]), ("name", ["May"]), ("name", ["Mary-Ann"]), ("address", ["-"])]
    assert mentions(text.split(), phrases) == [Detection(first, stop, "name") for first, stop in places]


def test_a_phrase_without_a_capital_is_found_with_one_too() -> None:
    assert mentions(["At", "Pier", "road"], [("address", ["pier", "Road"])]) == [Detection(1, 3, "address")]
