"""One daemon per database: the session lock and its holder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import psycopg
from sqlalchemy import Engine

from transcription_dagster.database.connection import open_database
from transcription_dagster.database.daemon_lock import DaemonLock, holder
from transcription_dagster_tests.postgres import empty_database
from transcription_dagster_tests.stack.small_stack import until

HOLD = """
import sys, time
from transcription_dagster.database.daemon_lock import DaemonLock
lock = DaemonLock(sys.argv[1], web_url="http://elsewhere:3000")
print(lock.take(), flush=True)
time.sleep(1000)
"""


def end_sessions(url: str) -> None:
    """Close every other connection to the database, as a restart of the server does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_the_lock_names_its_holder_and_excludes_others(engine: Engine, database_url: str) -> None:
    assert holder(engine) is None
    first, second = (DaemonLock(database_url, web_url=f"http://{name}:3000") for name in ("first", "second"))
    assert first.take()
    assert not second.take()
    daemon = holder(engine)
    assert daemon is not None
    assert (daemon.url, daemon.host, daemon.pid) == ("http://first:3000", socket.gethostname(), os.getpid())
    first.release()
    assert holder(engine) is None
    assert second.take()
    assert holder(engine) is not None
    second.release()


def test_a_database_without_tables_has_no_daemon() -> None:
    with empty_database() as url:
        engine = open_database(url)
        assert holder(engine) is None
        engine.dispose()


def test_the_lock_ends_with_a_killed_process(engine: Engine, database_url: str) -> None:
    command = [sys.executable, "-c", HOLD, database_url]
    lock = DaemonLock(database_url, web_url="http://here:3000")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert not lock.take()
        process.kill()
    until(lock.take)
    lock.release()


def test_a_broken_connection_is_replaced(engine: Engine, database_url: str) -> None:
    lock = DaemonLock(database_url, web_url="http://here:3000")
    assert lock.take()
    assert lock.held()
    end_sessions(database_url)
    assert not lock.held()
    assert lock.take()
    assert lock.held()
    lock.release()


def test_its_own_lingering_session_does_not_block_it(database_url: str) -> None:
    lock = DaemonLock(database_url, web_url="http://here:3000")
    assert lock.take()
    ghost = lock._connection
    # The network failed, but the server has not noticed and still holds the session with its lock.
    lock._connection = None
    until(lock.take)
    assert lock.held()
    lock.release()
    assert ghost is not None
    ghost.invalidate()
    ghost.close()


def test_a_lock_lost_to_another_process_is_not_retaken(engine: Engine, database_url: str) -> None:
    first, second = (DaemonLock(database_url, web_url=f"http://{name}:3000") for name in ("first", "second"))
    assert first.take()
    end_sessions(database_url)
    assert second.take()
    assert not first.held()
    assert not first.take()
    daemon = holder(engine)
    assert daemon is not None
    assert daemon.url == "http://second:3000"
    second.release()
