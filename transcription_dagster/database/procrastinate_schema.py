"""Create, upgrade and check the tables of procrastinate, the job queue.

procrastinate leaves it to its users to track which of its migrations were applied. This module tracks them in a
table, one row per file: https://procrastinate.readthedocs.io/en/stable/howto/production/migrations.html
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Column, Connection, DateTime, MetaData, Table, Text, func, insert, select, text

from transcription_dagster.database.tables import SCHEMA
from transcription_dagster.errors import WrongDatabaseVersion

#: Created here and not by one of our migrations, because those build on procrastinate's tables.
APPLIED = Table(
    "procrastinate_migrations",
    MetaData(schema=SCHEMA),
    Column("name", Text, primary_key=True),
    Column("applied_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

#: The last migration of procrastinate 3.10.0, which version 0.1.0 of this program installed without a record.
_UNRECORDED = "03.04.00_50_post_add_retry_failed_job_procedure.sql"
#: A function that this migration adds.
_MARK = "procrastinate_retry_job_v2(bigint, timestamptz, integer, varchar, varchar)"


def upgrade(connection: Connection) -> None:
    """Create procrastinate's tables or apply missing migrations, inside the connection's transaction.

    Raises `WrongDatabaseVersion` if the tables are newer than the installed procrastinate, or of an unknown version.
    """
    from procrastinate.schema import SchemaManager

    APPLIED.create(connection, checkfirst=True)
    scripts = _migrations()
    if not _exists(connection, "procrastinate_jobs"):
        _run(connection, SchemaManager.get_schema())
        _record(connection, list(scripts))
        return
    if not applied(connection):
        if not _function_exists(connection, _MARK):
            raise WrongDatabaseVersion(
                "the database holds procrastinate tables from before version 3.10, not made by this program: "
                "apply procrastinate's migrations up to 3.10, or use another database"
            )
        _record(connection, [name for name in scripts if name <= _UNRECORDED])
    refuse_newer(connection)
    for name in missing(connection):
        _run(connection, scripts[name].read_text(encoding="utf-8"))
        _record(connection, [name])


def applied(connection: Connection) -> set[str]:
    """Return the names of the applied migrations; empty if there is no record yet."""
    if not _exists(connection, APPLIED.fullname):
        return set()
    return set(connection.execute(select(APPLIED.c.name)).scalars())


def missing(connection: Connection) -> list[str]:
    """Return the names of the missing migrations, in the order to apply them."""
    return sorted(set(_migrations()) - applied(connection))


def refuse_newer(connection: Connection) -> None:
    """Raise `WrongDatabaseVersion` if the database has migrations unknown to the installed procrastinate."""
    if unknown := applied(connection) - set(_migrations()):
        raise WrongDatabaseVersion(
            f"the database's queues are at {max(unknown)}, which procrastinate {version('procrastinate')} does not "
            "know: upgrade the program"
        )


def _migrations() -> dict[str, Path]:
    """Return the installed procrastinate's migrations by file name, in the order to apply them."""
    # Imported late: commands without a queue should not pay for it.
    from procrastinate.schema import SchemaManager

    return {path.name: path for path in sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))}


def _record(connection: Connection, names: list[str]) -> None:
    connection.execute(insert(APPLIED), [{"name": name} for name in names])


def _exists(connection: Connection, table: str) -> bool:
    return connection.execute(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": table}).scalar_one()


def _function_exists(connection: Connection, signature: str) -> bool:
    return connection.execute(text("SELECT to_regprocedure(:name) IS NOT NULL"), {"name": signature}).scalar_one()


def _run(connection: Connection, script: str) -> None:
    # Without parameters psycopg accepts several statements at once and does not interpret percent signs.
    connection.exec_driver_sql(script, execution_options={"no_parameters": True})
