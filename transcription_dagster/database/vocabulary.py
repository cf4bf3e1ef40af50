"""The vocabulary shared by all recordings, stored in the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, collate, delete, insert, select

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import TermRow
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


def term_from_json(values: Mapping[Any, Any]) -> Term:
    """Rebuild a term from the `values` that `dataclasses.asdict` returned."""
    return Term(
        text=values["text"],
        variants=tuple(values["variants"]),
        category=values["category"],
        weight=values["weight"],
    )
