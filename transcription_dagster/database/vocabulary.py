"""The vocabulary shared by all recordings, stored in the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, collate, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import DeclinedTermRow, TermRow
from transcription_dagster.model import Term


def terms(engine: Engine) -> tuple[Term, ...]:
    """Return all terms, ordered by code points."""
    statement = select(TermRow.__table__).order_by(collate(TermRow.text, "C"))
    with transaction(engine) as connection:
        rows = connection.execute(statement).mappings()
        return tuple(term_from_json(row) for row in rows)


def replace(engine: Engine, terms: Iterable[Term]) -> None:
    """Replace the whole vocabulary; of two terms with the same text the last one counts."""
    rows = {term.text: asdict(term) for term in terms}
    with transaction(engine) as connection:
        connection.execute(delete(TermRow))
        if rows:
            connection.execute(insert(TermRow), list(rows.values()))


def put(engine: Engine, terms: Iterable[Term]) -> None:
    """Add terms; a term with the same text is replaced."""
    rows = {term.text: asdict(term) for term in terms}
    if not rows:
        return
    statement = upsert(TermRow)
    values = {name: statement.excluded[name] for name in ("variants", "category", "weight")}
    with transaction(engine) as connection:
        connection.execute(
            statement.on_conflict_do_update(index_elements=["text"], set_=values), [rows[text] for text in sorted(rows)]
        )


def add_variant(engine: Engine, text: str, variant: str) -> None:
    """Add a variant to a term, which is created if it is missing."""
    of_term = TermRow.text == text
    with transaction(engine) as connection:
        # Two processes that add variants to a new term at the same time must wait for each other at its row.
        connection.execute(upsert(TermRow).values(**asdict(Term(text))).on_conflict_do_nothing())
        variants = connection.execute(select(TermRow.variants).where(of_term).with_for_update()).scalar_one()
        extended = list(dict.fromkeys([*variants, variant]))
        connection.execute(update(TermRow).where(of_term).values(variants=extended))


def remove(engine: Engine, text: str) -> bool:
    """Remove a term; return False if it is missing."""
    with transaction(engine) as connection:
        return connection.execute(delete(TermRow).where(TermRow.text == text)).rowcount > 0


def decline(engine: Engine, text: str, variant: str) -> None:
    """Record that this variant of a term was declined, so that it is not suggested again."""
    with transaction(engine) as connection:
        connection.execute(upsert(DeclinedTermRow).values(text=text, variant=variant).on_conflict_do_nothing())


def declined(engine: Engine) -> set[tuple[str, str]]:
    """Return term and variant of each declined suggestion."""
    with transaction(engine) as connection:
        rows = connection.execute(select(DeclinedTermRow.text, DeclinedTermRow.variant))
        return {(row.text, row.variant) for row in rows}


def term_from_json(values: Mapping[Any, Any]) -> Term:
    """Rebuild a term from the result of `dataclasses.asdict`."""
    return Term(
        text=values["text"],
        variants=tuple(values["variants"]),
        category=values["category"],
        weight=values["weight"],
    )
