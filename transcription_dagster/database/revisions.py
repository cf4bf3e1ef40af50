"""The revision of a database, and the one that this program needs; without Alembic, which is slow to import."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, text

from transcription_dagster.database.tables import SCHEMA
from transcription_dagster.errors import WrongDatabaseVersion

#: Alembic's table. Dagster keeps its own revision in `alembic_version`.
VERSION_TABLE = "transcription_alembic_version"

_MIGRATIONS = Path(__file__).parent / "migrations" / "versions"


def program_revision() -> str:
    """Return the revision that this program's queries are written for."""
    return max(_known())


def database_revision(connection: Connection) -> str | None:
    """Return the revision of the database; None if the program's tables were never created."""
    table = f"{SCHEMA}.{VERSION_TABLE}"
    exists = connection.execute(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": table}).scalar_one()
    return connection.execute(text(f"SELECT version_num FROM {table}")).scalar() if exists else None  # noqa: S608


def refuse_newer(connection: Connection) -> None:
    """Raise `WrongDatabaseVersion` if the database has a revision that this program does not know."""
    revision = database_revision(connection)
    if revision is not None and revision not in _known():
        raise WrongDatabaseVersion(
            f"the database is at revision {revision}, which is newer than this program's {program_revision()}: "
            "upgrade the program"
        )


@cache
def _known() -> frozenset[str]:
    """Return the revisions of the installed migrations: the numbers at the beginning of their file names."""
    known = frozenset(path.stem.partition("_")[0] for path in _MIGRATIONS.glob("[0-9]*_*.py"))
    if not known:
        raise WrongDatabaseVersion("the program was installed without its database migrations")
    return known
