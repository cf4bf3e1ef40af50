"""Upgrading a database of an older version, and procrastinate's tables with its own migrations."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from procrastinate.schema import SchemaManager
from sqlalchemy import Engine, insert
from sqlalchemy.schema import CreateSchema

from transcription_dagster.database.connection import check_version, open_database, upgrade_database
from transcription_dagster.database.procrastinate_schema import APPLIED
from transcription_dagster.database.tables import SCHEMA
from transcription_dagster.errors import WrongDatabaseVersion
from transcription_dagster.pool.devices import GPU_QUEUE
from transcription_dagster.pool.request_queue import RequestQueue
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster_tests.postgres import empty_database, released_database

pytestmark = pytest.mark.slow

MIGRATIONS = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))

#: Everything that SQL can show about the tables in `public`: columns, constraints, indexes, functions, enum values.
#: Columns are ordered by name, because one that was added later comes last.
DESCRIPTION = """
SELECT 'column', table_name || '.' || column_name, data_type || is_nullable || coalesce(column_default, '')
  FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'enum', enumtypid::regtype::text, enumlabel FROM pg_enum
UNION ALL SELECT 'function', p.oid::regprocedure::text, regexp_replace(p.prosrc, '\\s+', ' ', 'g') FROM pg_proc p
 WHERE p.proname LIKE 'procrastinate%'
ORDER BY 1, 2, 3
"""


def described(url: str) -> list[tuple[str, str, str]]:
    with psycopg.connect(url) as connection:
        return connection.execute(DESCRIPTION).fetchall()


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[arg-type]  # fixed texts and files of procrastinate
        return cursor.fetchall() if cursor.description else []


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


def check(url: str) -> None:
    with opened(url) as engine:
        check_version(engine)


def test_an_upgraded_database_has_the_tables_of_a_fresh_one(database_url: str) -> None:
    with released_database() as url:
        upgrade_database(url)
        check(url)
        assert described(url) == described(database_url)


def test_an_upgrade_keeps_the_rows_of_the_queues() -> None:
    with released_database() as url:
        execute(
            url,
            "INSERT INTO transcription_speech (key, task, recording, run_id, queue, request, state, result)"
            " VALUES ('k', 'transcribe', 'r', 'run', 'gpu', '{}', 'done', '{\"text\": \"hello\"}')",
        )
        execute(url, "INSERT INTO procrastinate_jobs (task_name, queue_name) VALUES ('execute_run', 'runs')")
        upgrade_database(url)
        assert execute(url, "SELECT result->>'text' FROM inference_requests") == [("hello",)]
        assert execute(url, "SELECT task_name, status::text FROM procrastinate_jobs") == [("execute_run", "todo")]


def test_requests_in_flight_survive_an_upgrade_without_losing_an_attempt() -> None:
    attempt = '[{"executor": "gpu-0", "started_at": "2025-01-01T00:00:00Z", "ended": null}]'
    with released_database() as url:
        for key, state, attempts in (("running", "doing", attempt), ("waiting", "queued", "[]")):
            execute(
                url,
                "INSERT INTO transcription_speech (key, task, recording, run_id, queue, request, state, attempts)"
                f" VALUES ('{key}', 'transcribe', 'r', 'run', 'gpu', '{{}}', '{state}', '{attempts}')",
            )
            execute(
                url,
                "INSERT INTO procrastinate_jobs (task_name, queue_name, queueing_lock)"
                f" VALUES ('transcribe', 'gpu', 'speech:{key}')",
            )
        execute(url, "UPDATE procrastinate_jobs SET status = 'doing' WHERE queueing_lock = 'speech:running'")
        upgrade_database(url)
        assert execute(url, "SELECT count(*) FROM procrastinate_jobs") == [(0,)]
        asyncio.run(answer_all(url))
        assert execute(
            url,
            "SELECT key, state, jsonb_path_query_array(attempts, '$[*].ended') FROM inference_requests ORDER BY key",
        ) == [("running", "done", ["the executor was stopped", "done"]), ("waiting", "done", ["done"])]


async def answer_all(url: str) -> None:
    queue = RequestQueue(url, WorkerRecord("gpu-0", "gpu"), [GPU_QUEUE])
    await queue.open()
    while (claim := await queue.claim()) is not None:
        assert claim.lost == 0
        assert await queue.begin(claim)
        await queue.finish(claim, {})
    await queue.connector.close_async()


def test_a_released_database_is_refused_until_it_is_upgraded() -> None:
    with released_database() as url, pytest.raises(WrongDatabaseVersion, match=r"0004, .* `transcription database up"):
        check(url)


def test_processes_that_upgrade_a_released_database_at_once_do_not_collide() -> None:
    program = (
        "import sys; from transcription_dagster.database import connection; connection.upgrade_database(sys.argv[1])"
    )
    with released_database() as url:
        processes = [
            subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE, text=True) for _ in range(2)
        ]
        assert [(process.communicate()[1], process.returncode) for process in processes] == [("", 0)] * 2
        check(url)


def test_procrastinates_missing_migrations_are_applied(database_url: str) -> None:
    """Tables of procrastinate 3.0, made by its own files, become those that it makes today."""
    old = [path for path in MIGRATIONS if path.name < "03.01"]
    with empty_database() as url:
        for path in old:
            execute(url, path.read_text())
        record(url, [path.name for path in old])
        upgrade_database(url)
        check(url)
        assert described(url) == described(database_url)


def test_migrations_of_a_newer_procrastinate_are_applied(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_one_more(tmp_path, monkeypatch, "ALTER TABLE procrastinate_jobs ADD COLUMN later text DEFAULT '100%s';")
    with pytest.raises(WrongDatabaseVersion, match=r"lack .* 99\.00.* `transcription database upgrade`"):
        check(database_url)
    upgrade_database(database_url)
    check(database_url)
    assert execute(database_url, "SELECT later FROM procrastinate_jobs") == []
    monkeypatch.undo()
    for action in (check, upgrade_database):
        with pytest.raises(WrongDatabaseVersion, match=r"99\.00.*procrastinate 3\.10\.0.*: upgrade the program"):
            action(database_url)


def test_an_upgrade_that_fails_half_way_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with released_database() as url:
        before = described(url)
        with_one_more(tmp_path, monkeypatch, "ALTER TABLE procrastinate_jobs ADD COLUMN later text; SELECT 1 / 0;")
        with pytest.raises(Exception, match="division by zero"):
            upgrade_database(url)
        assert described(url) == before
        monkeypatch.undo()
        upgrade_database(url)
        check(url)


def test_foreign_tables_of_an_older_procrastinate_are_refused() -> None:
    with empty_database() as url:
        for path in MIGRATIONS:
            if path.name < "03.01":
                execute(url, path.read_text())
        before = described(url)
        with pytest.raises(WrongDatabaseVersion, match="not made by this program"):
            upgrade_database(url)
        assert described(url) == before


def with_one_more(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Simulate a procrastinate with one more migration."""
    migrations = folder / "migrations"
    shutil.copytree(SchemaManager.get_migrations_path(), migrations)
    (migrations / "99.00.00_01_pre_later.sql").write_text(script)
    monkeypatch.setattr(SchemaManager, "get_migrations_path", staticmethod(lambda: str(migrations)))


def record(url: str, names: list[str]) -> None:
    with opened(url) as engine, engine.begin() as connection:
        connection.execute(CreateSchema(SCHEMA))
        APPLIED.create(connection)
        connection.execute(insert(APPLIED), [{"name": name} for name in names])
