from sqlalchemy import Engine

from transcription_dagster.database.vocabulary import replace, terms
from transcription_dagster.model import Term

FERRY = Term("Ålesund–Molde ferry", ("all a sunned",), "route", 1.5)


def test_the_vocabulary_is_empty_at_first(engine: Engine) -> None:
    assert terms(engine) == ()


def test_terms_are_stored_completely_and_in_order(engine: Engine) -> None:
    replace(engine, [Term("b"), FERRY, Term("a")])
    assert terms(engine) == (Term("a"), Term("b"), FERRY)


def test_a_new_vocabulary_replaces_the_old_one(engine: Engine) -> None:
    replace(engine, [Term("a"), Term("b")])
    replace(engine, [Term("b", weight=3.0), Term("c")])
    assert terms(engine) == (Term("b", weight=3.0), Term("c"))
    replace(engine, [])
    assert terms(engine) == ()


def test_the_last_of_two_terms_with_the_same_text_wins(engine: Engine) -> None:
    replace(engine, [Term("a", category="first"), Term("a", category="last")])
    assert terms(engine) == (Term("a", category="last"),)
