"""How the program reaches its database: the pool, transactions, and whose version the tables have."""

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

#: `Engine` for those outside this folder, who hold one and know nothing else of SQLAlchemy.
__all__ = ["Engine", "check_version", "open_database", "session_lock", "transaction", "upgrade"]

_SCHEMES = {"postgresql", "postgres", "postgresql+psycopg"}

#: Key of the advisory lock that one upgrade at a time holds; any number that no other program picks.
_UPGRADE_LOCK = 0x7261_6E73_6372_6962

CONNECT_ARGUMENTS = {"connect_timeout": 10, "application_name": "transcription"}

#: SQLSTATE classes and codes that pass by themselves: connection, transaction rollback, resources, operator
#: intervention, system; a server that is read-only for a moment; a lock that was not free.
#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_TRANSIENT_STATES = ("08", "40", "53", "57", "58", "25006", "55P03")
#: Undefined schema, table, column, function: the tables are not those of this program.
_FOREIGN_TABLES = ("3F000", "42P01", "42703", "42883")


def open_database(url: str) -> Engine:
    """Return a pool of connections to the database at `url`; nothing is connected until it is used.

    Raises `InvalidSetting` if `url` is no Postgres URL.
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
def transaction(engine: Engine) -> Iterator[Connection]:
    """Run the block in one transaction, with the driver's errors turned into the program's.

    Raises `DatabaseUnavailable`, `WrongDatabaseVersion` or `DatabaseRefused`; none carries values or the password.
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
    """Give whether this process alone holds the advisory lock `key` for the length of the block.

    The lock belongs to a connection of its own with no transaction open, so that it may be held for hours; Postgres
    releases it when the process dies.
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
        # Closed for good: that ends the lock, also where the connection no longer answers.
        connection.invalidate()
        raise
    finally:
        connection.close()


def upgrade(url: str) -> None:
    """Bring the program's tables and procrastinate's to this program's version; does nothing when they are.

    Safe to run from several processes at once: one upgrades, the others wait for it.

    Raises `WrongDatabaseVersion` if the database is ahead of the program or its pgvector is too old. An upgrade is
    done as a whole or not at all.
    """
    from transcription_dagster.database import migrations

    engine = create_engine(driver_url(url), poolclass=NullPool, connect_args=CONNECT_ARGUMENTS)
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        migrations.run(connection)


def check_version(engine: Engine) -> str:
    """Return the revision of the tables.

    Raises `WrongDatabaseVersion`, saying what to do, unless it is exactly the one that this program works with.
    """
    from transcription_dagster.database import migrations, procrastinate_schema

    with transaction(engine) as connection:
        migrations.refuse_newer(connection)
        procrastinate_schema.refuse_newer(connection)
        revision = migrations.database_revision(connection)
        missing = procrastinate_schema.missing(connection)
    needed = migrations.program_revision()
    if revision != needed:
        raise WrongDatabaseVersion(
            f"the database is at revision {revision or 'none'}, this program needs {needed}: "
            "run `transcription database upgrade`"
        )
    if missing:
        raise WrongDatabaseVersion(
            f"the database's queues lack procrastinate's migration {missing[0]}: run `transcription database upgrade`"
        )
    return needed


def driver_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The parser's own message may repeat a part of the URL, and with it the password.
        raise InvalidSetting("TRANSCRIPTION_DATABASE_URL is not a URL such as postgresql://user@host/name") from None
    if parsed.drivername not in _SCHEMES:
        raise InvalidSetting(f"TRANSCRIPTION_DATABASE_URL has the scheme {parsed.drivername}, postgresql is needed")
    return parsed.set(drivername="postgresql+psycopg")


def translated(error: DBAPIError, url: URL) -> TranscriptionError:
    """The program's error for the driver's: its first line only, which never holds the statement's values."""
    state = getattr(error.orig, "sqlstate", None) or ""
    reason = (str(error.orig).strip().splitlines() or ["no reason given"])[0]
    if url.password:
        reason = reason.replace(str(url.password), "***")
    # An error that arose before or without the server, such as a refused connection, has no SQLSTATE.
    disconnected = not state and isinstance(error, OperationalError | InterfaceError)
    if disconnected or error.connection_invalidated or state.startswith(_TRANSIENT_STATES):
        return DatabaseUnavailable(f"the database did not answer: {reason}")
    if state in _FOREIGN_TABLES:
        return WrongDatabaseVersion(f"the database is not up to date ({reason}): run `transcription database upgrade`")
    return DatabaseRefused(f"the database refused the request: {reason}")
