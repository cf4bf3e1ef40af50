"""Postgres is stopped, read-only, or out of connections during a batch: all work is done exactly once."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from transcription_dagster.stack.postgres import answers
from transcription_dagster_tests.faults import (
    attempts_at,
    busy_executor,
    long_recording,
    postgres_away,
    unfinished_jobs,
)
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("faults on one stack")]

#: Longer than the time after which a silent worker counts as dead, like a restart by an administrator.
AWAY_SECONDS = 20


def all_done_once(system: System, recordings: list[str]) -> None:
    """Check that every recording has one successful run and one attempt, by workers that were never replaced."""
    assert [run.status for run in system.finish(recordings, 150)] == ["SUCCESS"] * len(recordings)
    assert [attempts_at(system, recording) for recording in recordings] == [["done"]] * len(recordings)
    runs = [run for run in system.dagster.runs() if run.partition in recordings]
    assert len(runs) == len(recordings)
    wait_until(lambda: not unfinished_jobs(system), 120, "no job is left")


def workers(system: System) -> set[tuple[str, int]]:
    return {(worker.name, worker.pid) for worker in system.pool().workers}


def test_a_batch_continues_when_postgres_comes_back(system: System, tmp_path: Path) -> None:
    before = workers(system)
    recordings = system.register([long_recording(tmp_path), DEMO_RECORDINGS[0]])
    system.launch(recordings)
    busy_executor(system, recordings[0])
    with postgres_away(system):
        assert not answers(system.url)
        time.sleep(AWAY_SECONDS)
    all_done_once(system, recordings)
    assert workers(system) == before


# The batch above is the sample; `pool/test_connection.py` tells outages of every kind from answers.
@pytest.mark.exhaustive
def test_a_temporarily_read_only_server_is_waited_for(system: System, tmp_path: Path) -> None:
    before = workers(system)
    recordings = system.register([long_recording(tmp_path), DEMO_RECORDINGS[0]])
    system.launch(recordings)
    busy_executor(system, recordings[0])
    with psycopg.connect(system.url, autocommit=True) as connection:
        # New connections get the setting at their start; existing ones are changed separately.
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        wait_until(lambda: read_only(system), 120, "the server takes no writes")
        time.sleep(AWAY_SECONDS / 2)
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
        connection.execute("SELECT pg_reload_conf()")
    all_done_once(system, recordings)
    assert workers(system) == before


@pytest.mark.exhaustive
def test_a_server_without_free_connections_is_waited_for(system: System, tmp_path: Path) -> None:
    before = workers(system)
    recordings = system.register([long_recording(tmp_path), DEMO_RECORDINGS[0]])
    system.launch(recordings)
    busy_executor(system, recordings[0])
    with ExitStack() as connections:
        deadline = time.monotonic() + AWAY_SECONDS / 2
        while time.monotonic() < deadline:
            # Repeatedly, because another process would get a connection that a worker releases.
            take_every_connection(system, connections)
            time.sleep(0.1)
    all_done_once(system, recordings)
    assert workers(system) == before


def read_only(system: System) -> bool:
    with psycopg.connect(system.url) as connection:
        row = connection.execute("SHOW transaction_read_only").fetchone()
        return row == ("on",)


def take_every_connection(system: System, connections: ExitStack) -> None:
    """Take all connections of the server, including those reserved for superusers; ours is a superuser's."""
    while True:
        try:
            connections.enter_context(psycopg.connect(system.url))
        except psycopg.OperationalError:
            return
