"""Dagster's daemon, as the only one of its database.

`python -m transcription_dagster.stack.daemon WEB-URL ARGUMENT...` is `dagster-daemon ARGUMENT...` in a process that
holds the database's daemon lock. It does not start while another process holds it, and ends if it loses it to one.
"""

from __future__ import annotations

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
from transcription_dagster.settings import load_settings
from transcription_dagster.stack.code_server import adopt_settings

logger = logging.getLogger(__name__)

#: A predecessor that was killed, or whose machine failed, has lost the lock by then.
_PATIENCE_SECONDS = 45.0
_POLL_SECONDS = 2.0


def take_lock(lock: DaemonLock, url: str, *, patience: float = _PATIENCE_SECONDS) -> None:
    """Return when this process holds the lock; end the process, saying who holds it, if another one does."""
    deadline = time.monotonic() + patience
    while not lock.take():
        if time.monotonic() > deadline:
            other = holder(open_database(url))
            where = f"{other.host}, with the UI at {other.url}" if other else "another machine"
            sys.exit(f"transcription: the daemon of this database runs on {where}: a database has one daemon alone")
        time.sleep(_POLL_SECONDS)


def keep_lock(lock: DaemonLock) -> None:
    """Watch over the lock; a broken connection is made anew. Returns only when another process has the lock."""
    while True:
        time.sleep(_POLL_SECONDS)
        try:
            if not lock.held() and not lock.take():
                return
        except DatabaseUnavailable:
            # The daemon can do nothing either, and nobody else can take the lock.
            continue


def _end_when_lost(lock: DaemonLock) -> None:
    keep_lock(lock)
    logger.error("another daemon works on this database now: ending this one")
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Hold the lock and be Dagster's daemon."""
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
