"""The words of a query, as Postgres reads them and as snippets mark them."""

from __future__ import annotations

import pytest

from transcription_dagster.search.query_words import snippet_of, web_query


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("ferry -- -late", "ferry -late"),
        ('"ferry -- late"', '"ferry -- late"'),
        ("天气 -港口", '"天 气" -"港 口"'),
        ('"天气 ok"', '" 天 气  ok"'),
        ("ｆｅｒｒｙ", "ferry"),
    ],
    ids=["many minus signs", "a phrase with minus signs", "unspaced words", "an unspaced phrase", "wide letters"],
)
def test_a_query_is_written_for_postgres(query: str, expected: str) -> None:
    assert web_query(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("天气", "今天[天气]很好 Ferry ok or not"),
        ("-天气 很好", "今天天气[很好] Ferry ok or not"),
        ("天 or 好", "今[天][天]气很[好] Ferry ok or not"),
        ('天 "天气"', "今[天][天气]很好 Ferry ok or not"),
        ("ferry", "今天天气很好 [Ferry] ok or not"),
        ("港口", "今天天气很好 Ferry ok or not"),
    ],
    ids=["a word", "without an excluded one", "either of two", "the longer of two", "in any case", "no match"],
)
def test_a_snippet_marks_the_words_of_the_query(query: str, expected: str) -> None:
    assert snippet_of("今天天气很好 Ferry ok or not", query, "[", "]") == expected


@pytest.mark.parametrize(
    ("first", "expected"),
    [(0, f"[港口]{'天' * 78}"), (100, f"{'天' * 39}[港口]{'天' * 39}"), (198, f"{'天' * 78}[港口]")],
    ids=["at the beginning", "in the middle", "at the end"],
)
def test_a_snippet_has_the_first_match_in_its_middle_and_as_much_text_anywhere(first: int, expected: str) -> None:
    text = f"{'天' * first}港口{'天' * (198 - first)}"
    assert snippet_of(text, "港口", "[", "]") == expected


def test_a_snippet_marks_no_match_that_it_cuts_off() -> None:
    text = f"港口{'天' * 77}港口{'天' * 80}"
    assert snippet_of(text, "港口", "[", "]") == f"[港口]{'天' * 77}港"
