"""Alembic inside the program: upgrading a database to the program's revision.

A migration is a file in `versions`, numbered consecutively. The migrations must produce the tables in `tables.py`; a
test compares them.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from transcription_dagster.database import procrastinate_schema, revisions
from transcription_dagster.database.tables import SCHEMA
from transcription_dagster.errors import WrongDatabaseVersion

#: pgvector 0.8 introduced iterative index scans, which keep a filtered vector search complete.
OLDEST_PGVECTOR = (0, 8)


def run(connection: Connection) -> None:
    """Upgrade the database to the program's revision, inside the connection's transaction."""
    revisions.refuse_newer(connection)
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
