"""Dollars as the database counts them."""

from __future__ import annotations

from transcription_dagster.database.connection import Engine, transaction
from transcription_dagster.refinement.answer_store import committed_to_batches, spent_since_midnight


def spent_today(engine: Engine) -> float:
    with transaction(engine) as connection:
        return spent_since_midnight(connection)


def committed_dollars(engine: Engine) -> float:
    with transaction(engine) as connection:
        return committed_to_batches(connection)
