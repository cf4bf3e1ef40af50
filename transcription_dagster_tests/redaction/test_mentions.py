"""Places where a name is said again."""

from __future__ import annotations

import pytest

from transcription_dagster.redaction.finding import Found
from transcription_dagster.redaction.mentions import mentions


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
    assert mentions(text.split(), phrases) == [Found(first, stop, "name") for first, stop in places]


def test_a_phrase_without_a_capital_is_found_with_one_too() -> None:
    assert mentions(["At", "Pier", "road"], [("address", ["pier", "Road"])]) == [Found(1, 3, "address")]
