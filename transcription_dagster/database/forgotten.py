"""Recordings that were retracted: nobody writes of one again until somebody registers it anew."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, Engine, select, text

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import ForgottenRow
from transcription_dagster.errors import RecordingForgotten
from transcription_dagster.model import recording_id


def forgotten(engine: Engine, uuids: Iterable[str]) -> set[str]:
    """Return those of `uuids` that were retracted."""
    keys = [recording_id(uuid) for uuid in uuids]
    with transaction(engine) as connection:
        return set(connection.scalars(select(ForgottenRow.uuid).where(ForgottenRow.uuid.in_(keys))))


def check_not_forgotten(engine: Engine, uuid: str) -> None:
    """Raise `RecordingForgotten` if the recording was retracted."""
    with transaction(engine) as connection:
        refuse_forgotten(connection, uuid)


def refuse_forgotten(connection: Connection, uuid: str) -> None:
    """Raise `RecordingForgotten` if the recording was retracted; else keep it from being so until the transaction ends.

    Every writer of rows that hold a recording's text calls this in the transaction that writes them.
    """
    if is_forgotten(connection, uuid):
        raise RecordingForgotten(f"recording {uuid} was forgotten: nothing is written of it")


def is_forgotten(connection: Connection, uuid: str) -> bool:
    """Whether the recording was retracted; if not, it is not before the transaction ends."""
    _lock(connection, uuid, "pg_advisory_xact_lock_shared")
    statement = select(ForgottenRow.uuid).where(ForgottenRow.uuid == recording_id(uuid))
    return connection.execute(statement).first() is not None


def lock_for_forgetting(connection: Connection, uuid: str) -> None:
    """Wait until nobody is writing of the recording; whoever begins now waits for the end of the transaction."""
    _lock(connection, uuid, "pg_advisory_xact_lock")


def _lock(connection: Connection, uuid: str, function: str) -> None:
    connection.execute(text(f"SELECT {function}(hashtextextended(:uuid, 0))"), {"uuid": recording_id(uuid)})
