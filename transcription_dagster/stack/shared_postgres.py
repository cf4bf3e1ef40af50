"""The embedded Postgres for processes that no stack starts, such as those of `dagster dev`.

The first process that needs the server starts a keeper, `python -m transcription_dagster.stack.shared_postgres`, which
owns it. Every user holds a shared lock on one file for as long as it lives; the keeper waits for the exclusive lock and
then stops the server. The kernel releases locks, so that a killed user never leaves a server behind.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from io import BufferedRandom
from pathlib import Path

from filelock import FileLock

from transcription_dagster.errors import StackError, TranscriptionError
from transcription_dagster.settings import Settings, child_environment, load_settings
from transcription_dagster.stack.home import log_tail, open_home
from transcription_dagster.stack.postgres import answers, database_url, embedded_postgres

_START_SECONDS = 90.0

#: The locks of this process, by the home's path. Closing a file releases its lock, so they stay open until it exits.
_held: dict[Path, BufferedRandom] = {}


def use_shared_postgres(settings: Settings) -> str:
    """Return the URL of the home's embedded server, which runs until the last process that called this has ended.

    A server that a stack or a command runs already is used as it is. Raises `StackError` with the end of the log if
    the server does not start.
    """
    open_home(settings.home)
    if settings.home not in _held:
        file = _lock_file(settings.home).open("a+b")
        fcntl.flock(file, fcntl.LOCK_SH)  # waits while a keeper stops its server
        _held[settings.home] = file
    url = database_url(settings)
    with FileLock(settings.home / "postgres.start.lock"):
        if not answers(url):
            _start_keeper(settings, url)
    return url


def _start_keeper(settings: Settings, url: str) -> None:
    log = settings.home / "logs" / "shared_postgres.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as output:
        # In a new session, so that Ctrl+C in a terminal does not stop the server before its users.
        keeper = subprocess.Popen(
            [sys.executable, "-P", "-m", "transcription_dagster.stack.shared_postgres"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**child_environment(settings), "TRANSCRIPTION_HOME": str(settings.home)},
        )
    deadline = time.monotonic() + _START_SECONDS
    while not answers(url):
        if keeper.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"the embedded Postgres did not start; the end of {log}:\n{log_tail(log)}")
        time.sleep(0.05)


def run_until_unused(settings: Settings) -> None:
    """Run the embedded server until no process holds the lock on it."""
    with _lock_file(settings.home).open("a+b") as file, embedded_postgres(settings):
        fcntl.flock(file, fcntl.LOCK_EX)


def _lock_file(home: Path) -> Path:
    return home / "postgres.users"


if __name__ == "__main__":
    try:
        run_until_unused(load_settings())
    except TranscriptionError as error:
        sys.exit(f"transcription: {error}")
