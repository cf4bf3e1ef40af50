"""The lock that allows one daemon per database, and the address of the stack that holds it.

Two daemons would evaluate every sensor and start every backfill twice. The lock is a session-level
advisory lock: Postgres releases it when the session ends, however the process or machine ended.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from transcription_dagster.database.connection import CONNECT_ARGUMENTS, driver_url, transaction, translated
from transcription_dagster.database.tables import SCHEMA, DaemonRow

#: Detects a silently broken connection within half a minute, on this side.
_KEEP_ALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}

#: Arbitrary key of the lock, as the two numbers that `pg_locks` shows.
_KEY = (0x7472_616E, 0x6461_656D)

#: Detects within half a minute, on the server, that the holder's machine or network failed.
_SESSION = """
SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '3', false), set_config('idle_session_timeout', '0', false)
"""
_TABLE = f"{SCHEMA}.{DaemonRow.__tablename__}"
_RECORD = f"""
INSERT INTO {_TABLE} (singleton, token, backend_pid, host, pid, url)
VALUES (true, :token, pg_backend_pid(), :host, :pid, :url)
ON CONFLICT (singleton) DO UPDATE SET (token, backend_pid, host, pid, url, since)
  = (excluded.token, excluded.backend_pid, excluded.host, excluded.pid, excluded.url, now())
"""  # noqa: S608  constants
_END_OWN_GHOST = f"""
SELECT pg_terminate_backend(backend_pid) FROM {_TABLE} WHERE token = :token AND backend_pid <> pg_backend_pid()
"""  # noqa: S608  constants
_HOLDER = f"""
SELECT d.host, d.pid, d.url, d.since FROM {_TABLE} d JOIN pg_locks l ON l.pid = d.backend_pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = :first AND l.objid = :second
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # noqa: S608  constants


@dataclass(frozen=True, slots=True)
class DaemonHolder:
    """The stack whose daemon holds the lock."""

    host: str
    pid: int
    #: Address of its web server.
    url: str
    since: datetime


def holder(engine: Engine) -> DaemonHolder | None:
    """Return the stack whose daemon holds the lock; None if no daemon does or there are no tables yet."""
    with transaction(engine) as connection:
        if connection.execute(text("SELECT to_regclass(:table)"), {"table": _TABLE}).scalar() is None:
            return None
        row = connection.execute(text(_HOLDER), {"first": _KEY[0], "second": _KEY[1]}).mappings().one_or_none()
    return DaemonHolder(**row) if row else None


class DaemonLock:
    """The lock, on a separate connection. Methods raise `DatabaseUnavailable` while the database does not answer."""

    def __init__(self, url: str, *, web_url: str) -> None:
        self._engine = create_engine(
            driver_url(url),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={**CONNECT_ARGUMENTS, **_KEEP_ALIVE},
        )
        self._web_url = web_url
        #: Identifies this process's row after a reconnect.
        self._token = secrets.token_hex(16)
        self._connection: Connection | None = None

    def take(self) -> bool:
        """Take the lock and record its holder; return False if another process holds it."""
        self.release()
        try:
            self._connection = self._engine.connect()
            self._connection.execute(text(_SESSION))
            # After a broken connection our old session may linger on the server and still hold the lock.
            self._connection.execute(text(_END_OWN_GHOST), {"token": self._token})
            if not self._locked(self._connection):
                self.release()
                return False
            values = {"token": self._token, "host": socket.gethostname(), "pid": os.getpid(), "url": self._web_url}
            self._connection.execute(text(_RECORD), values)
        except DBAPIError as error:
            self.release()
            raise translated(error, self._engine.url) from None
        return True

    def held(self) -> bool:
        """Return whether the session that holds the lock is alive, which proves that the lock is still held."""
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
        except DBAPIError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Release the lock if it is held."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # Unlock explicitly: the server ends a closed session only a moment later. A broken session releases the lock by
        # ending, and must not be reconnected.
        if not connection.invalidated:
            with contextlib.suppress(DBAPIError):
                connection.execute(text("SELECT pg_advisory_unlock_all()"))
        connection.invalidate()
        connection.close()

    def _locked(self, connection: Connection) -> bool:
        keys = {"first": _KEY[0], "second": _KEY[1]}
        return bool(connection.execute(text("SELECT pg_try_advisory_lock(:first, :second)"), keys).scalar())
