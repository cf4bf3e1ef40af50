"""The settings that all machines share, one document per version that was ever in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, insert, select, text

from transcription_dagster.database.connection import transaction
from transcription_dagster.database.tables import SettingsRow

#: Arbitrary key of the advisory lock that serialises pushes.
_PUSH_LOCK = 0x7365_7474_696E_6773


@dataclass(frozen=True, slots=True)
class StoredSettings:
    """One version of the shared settings."""

    version: int
    #: Hexadecimal SHA-256 of the document.
    digest: str
    #: Setting name -> JSON value.
    document: Mapping[str, Any]
    #: Version of the program that wrote it.
    program: str
    pushed_at: datetime
    #: User and machine that wrote it.
    pushed_by: str
    host: str


def current(engine: Engine) -> StoredSettings | None:
    """Return the version in force; None before the first push."""
    statement = select(SettingsRow.__table__).order_by(SettingsRow.version.desc()).limit(1)
    with transaction(engine) as connection:
        row = connection.execute(statement).mappings().one_or_none()
    return StoredSettings(**row) if row else None


def current_version(engine: Engine) -> int | None:
    """Return the number of the version in force; None before the first push."""
    with transaction(engine) as connection:
        return connection.execute(select(func.max(SettingsRow.version))).scalar()


def push(
    engine: Engine, document: Mapping[str, Any], *, digest: str, program: str, pushed_by: str, host: str
) -> StoredSettings | None:
    """Put a document in force and return the version it replaces; do nothing if it is already in force."""
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PUSH_LOCK})
        newest = select(SettingsRow.__table__).order_by(SettingsRow.version.desc()).limit(1)
        row = connection.execute(newest).mappings().one_or_none()
        before = StoredSettings(**row) if row else None
        if before is None or before.digest != digest:
            values = {"digest": digest, "document": dict(document), "program": program}
            connection.execute(insert(SettingsRow).values(**values, pushed_by=pushed_by, host=host))
    return before
