"""Alembic inside the program: a database's revision, and upgrading it to the program's.

A migration is a file in `versions`, numbered consecutively. The migrations must produce the tables in `tables.py`; a
test compares them.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from transcription_dagster.database import procrastinate_schema
from transcription_dagster.database.tables import SCHEMA
from transcription_dagster.errors import WrongDatabaseVersion

#: Dagster keeps its own revision in `alembic_version`.
VERSION_TABLE = "transcription_alembic_version"

#: pgvector 0.8 introduced iterative index scans, which keep a filtered vector search complete.
OLDEST_PGVECTOR = (0, 8)


def program_revision() -> str:
    """Return the revision that this program's queries are written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise WrongDatabaseVersion("the program was installed without its database migrations")
    return head


def database_revision(connection: Connection) -> str | None:
    """Return the revision of the database; None if the program's tables were never created."""
    options = {"version_table": VERSION_TABLE, "version_table_schema": SCHEMA}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def refuse_newer(connection: Connection) -> None:
    """Raise `WrongDatabaseVersion` if the database has a revision that this program does not know."""
    revision = database_revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise WrongDatabaseVersion(
            f"the database is at revision {revision}, which is newer than this program's {program_revision()}: "
            "upgrade the program"
        )


def run(connection: Connection) -> None:
    """Upgrade the database to the program's revision, inside the connection's transaction."""
    refuse_newer(connection)
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    _refuse_old_pgvector(connection)
    procrastinate_schema.upgrade(connection)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _refuse_old_pgvector(connection: Connection) -> None:
    version: str = connection.execute(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")).scalar_one()
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_PGVECTOR:
        oldest = ".".join(str(part) for part in OLDEST_PGVECTOR)
        raise WrongDatabaseVersion(
            f"the database has pgvector {version}, and search needs {oldest} or newer: "
            "install it on the server, then run ALTER EXTENSION vector UPDATE"
        )


def _config() -> Config:
    config = Config()
    # The option is parsed by configparser, for which a percent sign in a path means interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
