"""What was spent on Claude, so that a day's budget holds for all processes together."""

from __future__ import annotations

from sqlalchemy import Engine, func, insert, select, text

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import SpendingRow


def enter(engine: Engine, dollars: float, *, recording: str, model: str) -> None:
    """Enter what a refinement cost."""
    with transaction(engine) as connection:
        connection.execute(insert(SpendingRow).values(dollars=dollars, recording=recording, model=model))


def spent_today(engine: Engine) -> float:
    """Dollars that were entered since midnight UTC."""
    midnight = text("date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'")
    statement = select(func.coalesce(func.sum(SpendingRow.dollars), 0.0)).where(SpendingRow.spent_at >= midnight)
    with transaction(engine) as connection:
        return float(connection.execute(statement).scalar_one())
