"""One stack with a daemon per database: find it, and refuse a second one."""

from __future__ import annotations

import socket
import time

from transcription_dagster.database import daemon_lock
from transcription_dagster.database.connection import open_database
from transcription_dagster.database.daemon_lock import DaemonHolder
from transcription_dagster.errors import StackError
from transcription_dagster.refinement.claude import has_credentials
from transcription_dagster.settings import Settings
from transcription_dagster.shared_settings import worker_settings

#: Seconds that an ended daemon of this machine may take to release its lock.
_GONE_SECONDS = 5.0


def find_daemon(database_url: str) -> DaemonHolder | None:
    """Return the host and UI of a database's daemon; None if none runs. Raises `DatabaseUnavailable`."""
    engine = open_database(database_url)
    try:
        return daemon_lock.holder(engine)
    finally:
        engine.dispose()


def refuse_second(database_url: str) -> None:
    """Raise `StackError`, with the address, if a stack already uses the database."""
    deadline = time.monotonic() + _GONE_SECONDS
    while (found := find_daemon(database_url)) is not None:
        if found.host != socket.gethostname() or time.monotonic() > deadline:
            raise StackError(
                f"a stack is up on this database, on {found.host} with the UI at {found.url}: a database has one. Use "
                "that one, stop it, or add this machine's workers to it with `transcription up --workers-only`"
            )
        time.sleep(0.2)


def refuse_contradictions(settings: Settings, database_url: str) -> None:
    """Raise `InvalidSetting`, with all differences, if this machine's workers would use other settings."""
    worker_settings(settings, database_url, in_stack=False, has_credentials=has_credentials)
