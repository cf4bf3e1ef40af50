"""The procrastinate application and the schema of the queues."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any, LiteralString, cast

import procrastinate
import psycopg
from procrastinate.exceptions import ConnectorException
from psycopg.rows import DictRow, dict_row

from transcription_dagster.errors import DatabaseUnavailable

#: Any constant: whoever holds it may create the queues' tables.
_SCHEMA_LOCK = 7_215_004_311

#: Seconds that opening a connection may take.
CONNECT_SECONDS = 5


def sync_app(url: str) -> procrastinate.App:
    """The application for code without an event loop: it only puts jobs on queues.

    Use it as `with sync_app(url).open() as app`.
    """
    return procrastinate.App(
        connector=procrastinate.SyncPsycopgConnector(
            conninfo=url, min_size=0, max_size=2, max_idle=60, kwargs={"connect_timeout": CONNECT_SECONDS}
        )
    )


def worker_app(url: str) -> procrastinate.App:
    """The application for workers: tasks are registered on it, and it runs in an event loop."""
    return procrastinate.App(
        connector=procrastinate.PsycopgConnector(
            conninfo=url, min_size=1, max_size=4, timeout=60, kwargs={"connect_timeout": CONNECT_SECONDS}
        )
    )


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn the driver's connection errors into `DatabaseUnavailable`, which never shows the URL."""
    try:
        yield
    except (psycopg.OperationalError, ConnectorException) as error:
        cause = error.__cause__ if isinstance(error, ConnectorException) else error
        raise DatabaseUnavailable(f"the database did not answer: {type(cause or error).__name__}") from error


def connect(url: str) -> psycopg.Connection[DictRow]:
    """Open a connection that commits each statement and gives rows as dictionaries."""
    with database_errors():
        return psycopg.connect(url, autocommit=True, row_factory=dict_row, connect_timeout=CONNECT_SECONDS)


def apply_schema(url: str) -> None:
    """Create the queues' tables where they are missing. Safe to call from several processes at once."""
    with connect(url) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
        if not _exists(connection, "procrastinate_jobs"):
            _run_script(connection, procrastinate.schema.SchemaManager.get_schema())
        script = resources.files("transcription_dagster.queueing").joinpath("schema.sql").read_text(encoding="utf-8")
        _run_script(connection, script)


def schema_exists(url: str) -> bool:
    """Whether `apply_schema` has been called on this database."""
    with connect(url) as connection:
        return _exists(connection, "transcription_speech")


def _exists(connection: psycopg.Connection[Any], table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL AS there", (table,)).fetchone()
    return bool(row and row["there"])


def _run_script(connection: psycopg.Connection[Any], script: str) -> None:
    # Scripts come from packages, not from outside; without parameters psycopg runs several statements at once.
    connection.execute(cast(LiteralString, script))
