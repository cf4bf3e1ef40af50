"""One stack per database: find the stack that runs on it, on any machine, join it, and refuse a second one."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

import httpx

from transcription_dagster.database import daemon_lock
from transcription_dagster.database.connection import opened_database
from transcription_dagster.database.daemon_lock import DaemonHolder
from transcription_dagster.errors import StackError
from transcription_dagster.refinement.claude import has_credentials
from transcription_dagster.settings import Settings
from transcription_dagster.shared_settings import worker_settings

#: Seconds that an ended daemon of this machine may take to release its lock.
_RELEASE_SECONDS = 5.0
#: Seconds that the UI of a stack elsewhere may take to answer.
_UI_SECONDS = 10.0


def find_daemon(database_url: str) -> DaemonHolder | None:
    """Return the host and UI of a database's daemon; None if none runs. Raises `DatabaseUnavailable`."""
    with opened_database(database_url) as engine:
        return daemon_lock.holder(engine)


def refuse_second(database_url: str) -> None:
    """Raise `StackError`, with the address, if a stack already uses the database."""
    deadline = time.monotonic() + _RELEASE_SECONDS
    while (daemon := find_daemon(database_url)) is not None:
        if daemon.host != socket.gethostname() or time.monotonic() > deadline:
            raise StackError(
                f"a stack is up on this database, on {daemon.host} with the UI at {daemon.url}: a database has one. "
                "Use that one, stop it, or add this machine's workers to it with `transcription up --workers-only`"
            )
        time.sleep(0.2)


def refuse_contradictions(settings: Settings, database_url: str) -> None:
    """Raise `InvalidSetting`, with all differences, if this machine's workers would use other settings."""
    worker_settings(settings, database_url, in_stack=False, has_credentials=has_credentials)


@dataclass(frozen=True, slots=True)
class JoinedStack:
    """A stack elsewhere that this machine sends work to."""

    #: Address of its UI.
    url: str
    host: str
    database_url: str

    def alive(self) -> bool:
        """Return True if a daemon runs on its database. Raises `DatabaseUnavailable`."""
        return find_daemon(self.database_url) is not None


def joined_stack(settings: Settings) -> JoinedStack | None:
    """Return the running stack of the database in the settings; None for the embedded one, or if no stack is up.

    Raises `StackError` if this machine cannot reach its UI, and `DatabaseUnavailable`.
    """
    if settings.database_url is None:
        return None
    database_url = settings.database_url.get_secret_value()
    daemon = find_daemon(database_url)
    if daemon is None:
        return None
    try:
        with httpx.Client(trust_env=False, timeout=_UI_SECONDS) as client:
            client.get(f"{daemon.url}/health").raise_for_status()
    except httpx.HTTPError:
        raise StackError(
            f"the stack of this database is up on {daemon.host}, and its UI at {daemon.url} does not answer here: run "
            "the command there, or start that stack with a --host that this machine reaches"
        ) from None
    return JoinedStack(daemon.url, daemon.host, database_url)
