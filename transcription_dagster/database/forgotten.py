"""Retracted recordings, about which nothing may be written until they are registered again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, select, text

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import SCHEMA, ForgottenRow
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
    """Raise `RecordingForgotten` if the recording was retracted, else prevent that until the transaction ends.

    Every transaction that writes a recording's text calls this or `refuse_forgotten_by_driver`.
    """
    if is_forgotten(connection, uuid):
        raise _error(uuid)


def refuse_forgotten_by_driver(connection: psycopg.Connection[Any], uuid: str) -> None:
    """Like `refuse_forgotten`, for a psycopg connection inside a transaction."""
    key = recording_id(uuid)
    connection.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", (key,))
    found = connection.execute(f"SELECT 1 FROM {SCHEMA}.forgotten_recordings WHERE uuid = %s", (key,))  # noqa: S608  constant
    if found.fetchone() is not None:
        raise _error(uuid)


def is_forgotten(connection: Connection, uuid: str) -> bool:
    """Return whether the recording was retracted; if not, prevent that until the transaction ends."""
    _lock(connection, uuid, "pg_advisory_xact_lock_shared")
    statement = select(ForgottenRow.uuid).where(ForgottenRow.uuid == recording_id(uuid))
    return connection.execute(statement).first() is not None


def lock_for_forgetting(connection: Connection, uuid: str) -> None:
    """Wait for transactions that write about the recording, and block later ones until this transaction ends."""
    _lock(connection, uuid, "pg_advisory_xact_lock")


def _lock(connection: Connection, uuid: str, function: str) -> None:
    connection.execute(text(f"SELECT {function}(hashtextextended(:uuid, 0))"), {"uuid": recording_id(uuid)})


def _error(uuid: str) -> RecordingForgotten:
    return RecordingForgotten(f"recording {uuid} was forgotten; register it again to process it")
