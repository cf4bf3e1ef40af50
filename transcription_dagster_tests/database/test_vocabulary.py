from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import Engine, event

from transcription_dagster.database.connection import open_database
from transcription_dagster.database.vocabulary import add_variant, replace, terms
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


def test_variants_added_to_a_new_term_at_the_same_time_are_all_kept(database_url: str) -> None:
    both_started = Barrier(2)
    # An engine for each process that adds a variant.
    engines = [open_database(database_url) for _ in range(2)]
    for engine in engines:
        event.listen(engine, "begin", lambda _connection: both_started.wait(timeout=60), once=True)
    with ThreadPoolExecutor(2) as threads:
        list(
            threads.map(lambda own_engine, variant: add_variant(own_engine, "Rill", variant), engines, ["rule", "reel"])
        )
    [term] = terms(engines[0])
    assert set(term.variants) == {"rule", "reel"}
    for engine in engines:
        engine.dispose()
