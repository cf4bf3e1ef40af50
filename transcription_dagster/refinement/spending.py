"""Money spent on Claude today, across all processes."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, func, select, text

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import SpendingRow


def spent_today(engine: Engine) -> float:
    """Return the dollars spent since midnight UTC."""
    with transaction(engine) as connection:
        return spent_since_midnight(connection)


def spent_since_midnight(connection: Connection) -> float:
    """Like `spent_today`, inside a transaction."""
    midnight = text("date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'")
    statement = select(func.coalesce(func.sum(SpendingRow.dollars), 0.0)).where(SpendingRow.spent_at >= midnight)
    return float(connection.execute(statement).scalar_one() or 0.0)
