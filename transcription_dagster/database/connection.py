"""Access to the database: connection pool, transactions, and the version of the tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import NullPool

from transcription_dagster.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    InvalidSetting,
    TranscriptionError,
    WrongDatabaseVersion,
)

#: Re-exported for callers that only hold an engine and do not import SQLAlchemy.
__all__ = [
    "Engine",
    "check_version",
    "open_database",
    "opened_database",
    "session_lock",
    "transaction",
    "upgrade_database",
]

_SCHEMES = {"postgresql", "postgres", "postgresql+psycopg"}

#: Arbitrary key of the advisory lock that serialises upgrades.
_UPGRADE_LOCK = 0x7261_6E73_6372_6962

CONNECT_ARGUMENTS = {"connect_timeout": 10, "application_name": "transcription"}

#: Transient SQLSTATE classes and codes: connection, transaction rollback, resources, operator intervention, system;
#: a server that is read-only during a fail-over; an unavailable lock.
#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_TRANSIENT_STATES = ("08", "40", "53", "57", "58", "25006", "55P03")
#: Undefined schema, table, column, function: the tables do not match this version of the program.
_FOREIGN_TABLES = ("3F000", "42P01", "42703", "42883")


def open_database(url: str) -> Engine:
    """Return a connection pool for the database at `url`. Connects at first use.

    Raises `InvalidSetting` if `url` is not a Postgres URL.
    """
    return create_engine(
        driver_url(url),
        pool_size=2,
        max_overflow=8,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args=CONNECT_ARGUMENTS,
    )


@contextmanager
def opened_database(url: str) -> Iterator[Engine]:
    """Provide a connection pool for the database at `url`, whose connections are closed after the block.

    Raises `InvalidSetting` if `url` is not a Postgres URL.
    """
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Run the block in one transaction, translating the driver's errors.

    Raises `DatabaseUnavailable`, `WrongDatabaseVersion` or `DatabaseRefused`; their messages contain neither
    values nor the password.
    """
    with _own_errors(engine.url), engine.begin() as connection:
        yield connection


@contextmanager
def _own_errors(url: URL) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise translated(error, url) from None
    except UnicodeEncodeError as error:
        raise DatabaseRefused(f"the database holds no text such as {error.object[:80]!r}: {error.reason}") from None


@contextmanager
def session_lock(engine: Engine, key: int) -> Iterator[bool]:
    """Try to hold the advisory lock `key` during the block; yields whether it was free.

    The lock has its own connection without an open transaction, so it can be held for hours. Postgres releases it when
    the process dies.
    """
    with _own_errors(engine.url):
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        with _own_errors(engine.url):
            is_held = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar_one()
        yield is_held
        if is_held:
            with _own_errors(engine.url):
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
    except BaseException:
        # Closing the connection releases the lock, even if the connection no longer answers.
        connection.invalidate()
        raise
    finally:
        connection.close()


def upgrade_database(url: str) -> None:
    """Upgrade the program's and procrastinate's tables to this version; do nothing if they are current.

    Several processes may call this at once: one upgrades, the others wait.

    Upgrades are atomic. Raises `WrongDatabaseVersion` if the database is newer than the program or its pgvector is too
    old.
    """
    from transcription_dagster.database import migrations

    engine = create_engine(driver_url(url), poolclass=NullPool, connect_args=CONNECT_ARGUMENTS)
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        migrations.run(connection)


def check_version(engine: Engine) -> str:
    """Return the revision of the tables.

    Raises `WrongDatabaseVersion` with instructions unless it is exactly the one that this program needs.
    """
    from transcription_dagster.database import procrastinate_schema, revisions

    with transaction(engine) as connection:
        revisions.refuse_newer(connection)
        procrastinate_schema.refuse_newer(connection)
        revision = revisions.database_revision(connection)
        missing = procrastinate_schema.missing(connection)
    program_revision = revisions.program_revision()
    if revision != program_revision:
        raise WrongDatabaseVersion(
            f"the database is at revision {revision or 'none'}, this program needs {program_revision}: "
            "run `transcription database upgrade`"
        )
    if missing:
        raise WrongDatabaseVersion(
            f"the database's queues lack procrastinate's migration {missing[0]}: run `transcription database upgrade`"
        )
    return program_revision


def driver_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The parser's message may quote the URL with its password.
        raise InvalidSetting("TRANSCRIPTION_DATABASE_URL is not a URL such as postgresql://user@host/name") from None
    if parsed.drivername not in _SCHEMES:
        raise InvalidSetting(f"TRANSCRIPTION_DATABASE_URL has the scheme {parsed.drivername}, postgresql is needed")
    return parsed.set(drivername="postgresql+psycopg")


def translated(error: DBAPIError, url: URL) -> TranscriptionError:
    """Translate an error of the driver, keeping only its first line, which never contains the statement's values."""
    state = getattr(error.orig, "sqlstate", None) or ""
    reason = (str(error.orig).strip().splitlines() or ["no reason given"])[0]
    if url.password:
        reason = reason.replace(str(url.password), "***")
    # Errors that do not come from the server, such as a refused connection, have no SQLSTATE.
    disconnected = not state and isinstance(error, OperationalError | InterfaceError)
    if disconnected or error.connection_invalidated or state.startswith(_TRANSIENT_STATES):
        return DatabaseUnavailable(f"the database did not answer: {reason}")
    if state in _FOREIGN_TABLES:
        return WrongDatabaseVersion(f"the database is not up to date ({reason}): run `transcription database upgrade`")
    return DatabaseRefused(f"the database refused the request: {reason}")
