"""A real Postgres for tests: one embedded server for the process, a template upgraded once, a clone for each test.

A test folder gets the fixtures by importing them in its `conftest.py`.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import LiteralString, cast
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine

from transcription_dagster.database.connection import open_database, upgrade_database
from transcription_dagster.settings import Settings
from transcription_dagster.stack.postgres import embedded_postgres

_TEMPLATE = "upgraded"
#: Far more than the databases of one test process take; containers often have less.
_ROOM_BYTES = 2_000_000_000
_numbers = itertools.count(1)


@contextmanager
def cloned_database() -> Iterator[str]:
    """Yield the URL of a fresh database with the program's tables, which is dropped afterwards."""
    with _database(_template()) as url:
        yield url


@contextmanager
def empty_database() -> Iterator[str]:
    """Yield the URL of a fresh empty database, which is dropped afterwards."""
    with _database("template0") as url:
        yield url


@contextmanager
def released_database() -> Iterator[str]:
    """Yield the URL of a fresh database with the tables of version 0.1.0, which is dropped afterwards."""
    script = Path(__file__).with_name("database").joinpath("tables_of_0_1_0.sql").read_text(encoding="utf-8")
    with empty_database() as url:
        with psycopg.connect(url) as connection:
            connection.execute(cast(LiteralString, script))
        yield url


@pytest.fixture
def database_url() -> Iterator[str]:
    with cloned_database() as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def close_database(url: str) -> None:
    """End all connections to a database, and allow no new ones."""
    name = urlsplit(url).path.lstrip("/")
    with psycopg.connect(_server(), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])


@cache
def _server() -> str:
    """Start the server for the lifetime of the process; return the URL of its first database."""
    home = Path(tempfile.mkdtemp(prefix="transcription-postgres-", dir=_memory()))
    stack = ExitStack()
    stack.callback(shutil.rmtree, home, ignore_errors=True)
    url = stack.enter_context(embedded_postgres(Settings(home=home)))
    atexit.register(stack.close)
    with psycopg.connect(url, autocommit=True) as connection:
        # Nothing outlives the process, so nothing needs to be written to disk.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    return url


def _memory() -> Path | None:
    """Return a folder in memory with enough space, if there is one: a clone has hundreds of files, which is slow on a
    disk.
    """
    folder = Path("/dev/shm")
    if folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > _ROOM_BYTES:
        return folder
    return None


@cache
def _template() -> str:
    with psycopg.connect(_server(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    upgrade_database(_named(_TEMPLATE))
    return _TEMPLATE


@contextmanager
def _database(template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    # Copied file by file, because the preceding checkpoint is free if nothing is written to disk.
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
        sql.Identifier(name), sql.Identifier(template)
    )
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(_server(), autocommit=True) as connection:
        connection.execute(create)
        try:
            yield _named(name)
        finally:
            connection.execute(drop)


def _named(database: str) -> str:
    return urlunsplit(urlsplit(_server())._replace(path=f"/{database}"))
