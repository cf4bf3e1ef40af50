from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import psycopg2
import pytest
from sqlalchemy import create_engine, text

from transcription_dagster.errors import DatabaseUnavailable, InvalidSetting, StackError
from transcription_dagster.settings import load_settings
from transcription_dagster.stack import postgres
from transcription_dagster.stack.home import runtime_folder
from transcription_dagster.stack.postgres import (
    answers,
    database_url,
    embedded_postgres,
    prepare_postgres,
    wait_until_ready,
)
from transcription_dagster_tests.processes import addresses

pytestmark = pytest.mark.slow

SECRET = "planted-secret"


@dataclass(frozen=True)
class Server:
    """A running embedded server, whose parent's environment holds a secret."""

    home: Path
    url: str


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    home = Path(tempfile.mkdtemp(prefix="transcription-test-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_API_KEY", SECRET)
        with embedded_postgres(load_settings(home=home)) as url:
            yield Server(home, url)
    shutil.rmtree(home)


def _postmaster(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))


def test_every_driver_reaches_it_by_the_same_url(server: Server):
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("transcription",)
    psycopg2_connection = psycopg2.connect(server.url)
    with psycopg2_connection, psycopg2_connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION vector; SELECT '[1,2]'::vector::text")
        assert cursor.fetchone() == ("[1,2]",)
    psycopg2_connection.close()
    for driver in ("postgresql", "postgresql+psycopg"):
        engine = create_engine(server.url.replace("postgresql", driver, 1))
        with engine.connect() as connection:
            assert connection.execute(text("SHOW fsync")).scalar() == "on"
        engine.dispose()


@pytest.mark.parametrize("seconds", [30.0, 0.0])
def test_the_server_keeps_its_data_and_stops_after_the_block(
    home: Path, seconds: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(postgres, "_STOP_SECONDS", seconds)
    settings = load_settings(home=home)
    with embedded_postgres(settings) as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    assert not answers(url)
    with embedded_postgres(settings) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (7,)


def test_a_running_server_is_used_and_left_running(server: Server):
    before = _postmaster(server.home).pid
    with embedded_postgres(load_settings(home=server.home)) as url:
        assert url == server.url
    assert answers(server.url)
    assert _postmaster(server.home).pid == before


def test_it_listens_on_a_private_socket_and_on_no_network_address(server: Server):
    process = _postmaster(server.home)
    assert addresses([process]) == set()
    folder = runtime_folder(server.home) / "pg"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.home / "postgres").stat().st_mode) == 0o700
    assert folder.stat().st_uid == process.uids().real
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_other_users_cannot_open_its_socket(server: Server):
    nobody = pwd.getpwnam("nobody").pw_uid
    attempt = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    address = runtime_folder(server.home) / "pg" / ".s.PGSQL.5432"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
    completed = subprocess.run(
        ["/usr/bin/env", "python3", "-c", attempt, str(address)],
        user=nobody,
        env={"PATH": os.defpath},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PermissionError" in completed.stderr


def test_it_gets_no_secret_of_its_parents_environment(server: Server):
    assert SECRET not in _postmaster(server.home).environ().values()


def test_an_incomplete_database_is_created_again(home: Path):
    (home / "postgres.new").mkdir()
    (home / "postgres.new" / "PG_VERSION").write_text("18\n")
    with embedded_postgres(load_settings(home=home)) as url:
        assert answers(url)


def test_two_processes_prepare_it_once(home: Path):
    script = (
        "from transcription_dagster.settings import load_settings\n"
        "from transcription_dagster.stack.postgres import prepare_postgres\n"
        f"prepare_postgres(load_settings(home={str(home)!r}))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert (home / "postgres" / "PG_VERSION").exists()
    assert not (home / "postgres.new").exists()


#: Prints the id of the system user as soon as a line arrives.
FIRST_USE = """
import pathlib, pwd, sys, tempfile
from transcription_dagster.stack import postgres
folder = pathlib.Path(tempfile.mkdtemp())
print("ready", flush=True)
sys.stdin.readline()
print(pwd.getpwnam(postgres._installed(folder, folder).system_user).pw_uid)
"""
#: Runs a command with copies of the files in /etc, in which the system user does not exist yet.
WITHOUT_USER = r"""
cp --archive /etc/. "$1" && sed --in-place '/^pgserver:/d' "$1"/passwd "$1"/shadow "$1"/group "$1"/gshadow
mount --bind "$1" /etc && shift && exec "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="users are created only by root")
def test_processes_that_first_use_it_at_the_same_time_create_one_system_user(tmp_path: Path):
    elsewhere = ("unshare", "--mount", "sh", "-c", WITHOUT_USER, "sh", str(tmp_path))
    together = """
import subprocess, sys
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
processes = [subprocess.Popen([sys.executable, "-c", sys.argv[1]], **pipes) for _ in range(4)]
assert [process.stdout.readline() for process in processes] == ["ready\\n"] * 4
for process in processes:
    print(file=process.stdin, flush=True)
print(*(process.communicate()[0].strip() for process in processes))
"""
    completed = subprocess.run(
        [*elsewhere, sys.executable, "-c", together, FIRST_USE], capture_output=True, text=True, check=True, timeout=300
    )
    ids = completed.stdout.split()
    assert len(ids) == 4
    assert len(set(ids)) == 1


def test_data_of_another_version_is_refused(home: Path):
    settings = load_settings(home=home)
    prepare_postgres(settings)
    (home / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(StackError, match=r"cannot be used: .*16"):
        prepare_postgres(settings)


def test_a_server_that_does_not_start_says_why(home: Path):
    settings = load_settings(home=home)
    prepare_postgres(settings)
    (home / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(StackError, match="pg_control"), embedded_postgres(settings):
        pytest.fail("it started without its control file")


def test_a_given_url_is_used_as_it_is(home: Path):
    url = "postgresql://user:word@db.example:5433/speech?sslmode=require"
    assert database_url(load_settings(home=home, database_url=url)) == url


def test_reading_the_url_starts_no_server(home: Path):
    url = database_url(load_settings(home=home))
    assert url == f"postgresql://transcription@/transcription?host={home}/run/pg"
    assert not (home / "postgres").exists()
    assert not answers(url)


def test_a_database_that_does_not_answer_is_named_without_its_password():
    with pytest.raises(DatabaseUnavailable) as caught:
        wait_until_ready(f"postgresql://user:{SECRET}@127.0.0.1:1/speech", 0.1)
    assert "cannot connect to the database 'speech' on 127.0.0.1: " in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_database_that_does_not_exist_is_named_with_the_servers_reason(server: Server):
    with pytest.raises(DatabaseUnavailable) as caught:
        wait_until_ready(server.url.replace("/transcription?", "/speech?"), 0.1)
    message = str(caught.value)
    assert message.startswith("cannot connect to the database 'speech' on ")
    assert message.endswith('database "speech" does not exist')


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{SECRET}@host/db",
        f"user:{SECRET}",
        f"postgresql://u:{SECRET}@[h/d",
        f"postgresql://u:{SECRET}@host..example/db",
        f"postgresql://u:{SECRET}@{'h' * 64}/db",
        f"postgresql://u\udce9:{SECRET}@host/db",
    ],
)
def test_an_invalid_postgres_url_is_refused_without_quoting_it(url: str):
    with pytest.raises(InvalidSetting) as caught:
        wait_until_ready(url, 0.1)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
