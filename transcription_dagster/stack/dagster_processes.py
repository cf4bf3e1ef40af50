"""Dagster's processes in a stack, each started with the settings and the database of the stack.

`python -m transcription_dagster.stack.dagster_processes COMMAND ARGUMENT...`, with one of three commands:

- `upgrade` brings all tables to this version of the program. A stack runs it before any other process, because
  Dagster's processes would otherwise all create their tables at once.
- `code-server` is `dagster ARGUMENT...`, with definitions built from the shared settings, like those of every worker.
- `daemon WEB-URL` is `dagster-daemon ARGUMENT...`, limited to one per database: it refuses to start while another
  process holds the database's daemon lock, and exits if it loses the lock.
"""

from __future__ import annotations

import importlib
import logging
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping

import psycopg

from transcription_dagster.database.connection import opened_database, upgrade_database
from transcription_dagster.database.daemon_lock import DaemonLock, holder
from transcription_dagster.errors import DatabaseUnavailable, TranscriptionError
from transcription_dagster.quick_imports import quick_imports
from transcription_dagster.settings import load_settings, override_settings
from transcription_dagster.shared_settings import worker_settings

logger = logging.getLogger(__name__)

#: An arbitrary advisory lock: two machines may upgrade the same database at once.
_UPGRADE_LOCK = 0x7472_616E_7363_7267

#: Long enough for a killed predecessor, or one on a failed machine, to lose the daemon lock.
_PATIENCE_SECONDS = 45.0
_POLL_SECONDS = 2.0


def upgrade_tables(url: str) -> None:
    """Create or upgrade the program's tables, the queues' and Dagster's; do nothing if they are current.

    Dagster's instance is the one of DAGSTER_HOME.
    """
    # Imported late: the code server and the daemon measure their start in imports, and need none of these.
    from dagster import DagsterInstance

    from transcription_dagster.pool.connection import database_errors
    from transcription_dagster.pool.storage import index_runs

    with database_errors(), psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_UPGRADE_LOCK,))
        upgrade_database(url)
        with DagsterInstance.get() as instance:
            instance.upgrade()
        index_runs(url)


def take_lock(lock: DaemonLock, url: str, *, patience: float = _PATIENCE_SECONDS) -> None:
    """Wait for the lock; exit with the holder's address if another process keeps it."""
    deadline = time.monotonic() + patience
    while not lock.take():
        if time.monotonic() > deadline:
            with opened_database(url) as engine:
                other = holder(engine)
            where = f"{other.host}, with the UI at {other.url}" if other else "another machine"
            sys.exit(f"transcription: the daemon of this database runs on {where}; a database has only one daemon")
        time.sleep(_POLL_SECONDS)


def keep_lock(lock: DaemonLock) -> None:
    """Keep the lock, reconnecting if needed. Returns only if another process has taken it."""
    while True:
        time.sleep(_POLL_SECONDS)
        try:
            if not lock.held() and not lock.take():
                return
        except DatabaseUnavailable:
            # Without the database the daemon can do nothing, and no other process can take the lock.
            continue


def _upgrade() -> None:
    logging.basicConfig(level=logging.WARNING)
    with quick_imports():
        importlib.import_module("dagster")
    upgrade_tables(load_settings().require_database_url())


def _code_server() -> None:
    _adopt_settings()
    # Dagster finds them imported.
    with quick_imports():
        importlib.import_module("transcription_dagster.definitions")
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)


def _daemon() -> None:
    with quick_imports():
        importlib.import_module("dagster._daemon.cli")
    _adopt_settings()
    url = load_settings().require_database_url()
    lock = DaemonLock(url, web_url=sys.argv.pop(1))
    take_lock(lock, url)
    threading.Thread(target=_end_when_lost, args=(lock,), name="daemon-lock", daemon=True).start()
    runpy.run_module("dagster._daemon", run_name="__main__", alter_sys=True)


def _adopt_settings() -> None:
    """Put the database's settings in force for this process."""
    settings = load_settings()
    adopted, _ = worker_settings(settings, settings.require_database_url(), in_stack=True, has_credentials=None)
    override_settings(adopted)


def _end_when_lost(lock: DaemonLock) -> None:
    keep_lock(lock)
    logger.error("another daemon has taken over this database; stopping this one")
    os.kill(os.getpid(), signal.SIGTERM)


_COMMANDS: Mapping[str, Callable[[], None]] = {"upgrade": _upgrade, "code-server": _code_server, "daemon": _daemon}


if __name__ == "__main__":
    # Dagster's own command line reads the remaining arguments.
    command = _COMMANDS[sys.argv.pop(1)]
    try:
        command()
    except TranscriptionError as error:
        sys.exit(f"transcription: {error}")
