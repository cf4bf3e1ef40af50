"""Dagster's daemon, limited to one per database.

`python -m transcription_dagster.stack.daemon WEB-URL ARGUMENT...` is `dagster-daemon ARGUMENT...` in a process that
holds the database's daemon lock. It refuses to start while another process holds the lock, and exits if it loses it.
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

from transcription_dagster.database.connection import open_database
from transcription_dagster.database.daemon_lock import DaemonLock, holder
from transcription_dagster.errors import DatabaseUnavailable, TranscriptionError
from transcription_dagster.quick_imports import quick_imports
from transcription_dagster.settings import load_settings
from transcription_dagster.stack.code_server import adopt_settings

logger = logging.getLogger(__name__)

#: Long enough for a killed predecessor, or one on a failed machine, to lose the lock.
_PATIENCE_SECONDS = 45.0
_POLL_SECONDS = 2.0


def take_lock(lock: DaemonLock, url: str, *, patience: float = _PATIENCE_SECONDS) -> None:
    """Wait for the lock; exit with the holder's address if another process keeps it."""
    deadline = time.monotonic() + patience
    while not lock.take():
        if time.monotonic() > deadline:
            other = holder(open_database(url))
            where = f"{other.host}, with the UI at {other.url}" if other else "another machine"
            sys.exit(f"transcription: the daemon of this database runs on {where}; a database has only one daemon")
        time.sleep(_POLL_SECONDS)


def keep_lock(lock: DaemonLock) -> None:
    """Hold on to the lock, reconnecting if needed. Returns only if another process has taken it."""
    while True:
        time.sleep(_POLL_SECONDS)
        try:
            if not lock.held() and not lock.take():
                return
        except DatabaseUnavailable:
            # While the database is away the daemon can do nothing either, and no other process can take the lock.
            continue


def _end_when_lost(lock: DaemonLock) -> None:
    keep_lock(lock)
    logger.error("another daemon has taken over this database; stopping this one")
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run Dagster's daemon while holding the lock."""
    with quick_imports():
        importlib.import_module("dagster._daemon.cli")
    adopt_settings()
    url = load_settings().require_database_url()
    lock = DaemonLock(url, web_url=sys.argv.pop(1))
    try:
        take_lock(lock, url)
    except TranscriptionError as error:
        sys.exit(f"transcription: {error}")
    threading.Thread(target=_end_when_lost, args=(lock,), name="daemon-lock", daemon=True).start()
    runpy.run_module("dagster._daemon", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
