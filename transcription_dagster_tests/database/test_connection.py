"""Opening and upgrading a database, and translating its errors."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.sql import SQL, Identifier
from sqlalchemy import Engine, event, text

from transcription_dagster.database import claude_tables, migrations, revisions
from transcription_dagster.database.connection import (
    check_version,
    open_database,
    opened_database,
    transaction,
    upgrade_database,
)
from transcription_dagster.database.procrastinate_schema import APPLIED
from transcription_dagster.database.recordings import Recording, find_recording, register
from transcription_dagster.database.revisions import VERSION_TABLE
from transcription_dagster.database.tables import SCHEMA
from transcription_dagster.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    InvalidSetting,
    InvalidWorklist,
    WrongDatabaseVersion,
)
from transcription_dagster_tests.postgres import empty_database

UUID = "00000000-0000-0000-0000-000000000001"
RECORDING = Recording(UUID, "file:///a.wav")


def execute(url: str, statement: LiteralString) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def set_revision(url: str, revision: str) -> None:
    statement = SQL("UPDATE {} SET version_num = {}").format(Identifier(SCHEMA, VERSION_TABLE), revision)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def test_migrations_make_exactly_the_tables_that_the_queries_are_written_for(engine: Engine) -> None:
    def is_ours(name: str | None, kind: str, parents: object) -> bool:
        return name == SCHEMA if kind == "schema" else name not in (VERSION_TABLE, APPLIED.name)

    options = {"include_schemas": True, "include_name": is_ours, "compare_type": True, "compare_server_default": True}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, claude_tables.Base.metadata) == []


def test_the_migrations_files_are_named_by_their_revisions() -> None:
    scripts = ScriptDirectory.from_config(migrations._config())
    revisions_in_order = [script.revision for script in scripts.walk_revisions()]
    assert revisions_in_order == sorted(revisions._known(), reverse=True)
    assert scripts.get_current_head() == revisions.program_revision()


def test_upgrading_a_current_database_changes_nothing(database_url: str) -> None:
    before = execute(database_url, "SELECT oid, relname FROM pg_class ORDER BY oid")
    upgrade_database(database_url)
    assert execute(database_url, "SELECT oid, relname FROM pg_class ORDER BY oid") == before


def test_concurrent_upgrades_do_not_collide() -> None:
    with empty_database() as url, ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade_database, [url] * 4))
        check_version(open_database(url))


def test_dagsters_own_revision_is_left_alone() -> None:
    with empty_database() as url:
        execute(url, "CREATE TABLE alembic_version AS SELECT 'dagster'::text AS version_num")
        upgrade_database(url)
        assert execute(url, "SELECT version_num FROM alembic_version") == [("dagster",)]


def test_a_newer_database_is_refused_and_not_changed(database_url: str) -> None:
    set_revision(database_url, "9999")
    for action in (lambda: upgrade_database(database_url), lambda: check_version(open_database(database_url))):
        with pytest.raises(WrongDatabaseVersion, match=r"revision 9999, .* upgrade the program"):
            action()
    assert execute(database_url, f"SELECT version_num FROM {SCHEMA}.{VERSION_TABLE}") == [("9999",)]


def test_an_older_database_is_refused_with_the_upgrade_command() -> None:
    with empty_database() as url:
        engine = open_database(url)
        with pytest.raises(WrongDatabaseVersion, match=r"revision none, .* `transcription database upgrade`"):
            check_version(engine)
        with pytest.raises(WrongDatabaseVersion, match=r"not up to date .* `transcription database upgrade`"):
            find_recording(engine, UUID)
        engine.dispose()


def test_a_pgvector_too_old_to_search_with_filters_is_refused() -> None:
    with empty_database() as url:
        execute(url, "CREATE EXTENSION vector")
        execute(url, "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'")
        with pytest.raises(WrongDatabaseVersion, match=r"pgvector 0\.7\.4, and search needs 0\.8 or newer"):
            upgrade_database(url)
        assert execute(url, f"SELECT 1 FROM pg_namespace WHERE nspname = '{SCHEMA}'") == []


def test_an_opened_database_leaves_no_connection_open_when_its_block_fails(database_url: str) -> None:
    closed: list[object] = []

    def fail_after_a_query() -> None:
        with opened_database(database_url) as engine:
            event.listen(engine, "close", lambda connection, _: closed.append(connection))
            check_version(engine)
            assert not closed
            raise InvalidWorklist

    with pytest.raises(InvalidWorklist):
        fail_after_a_query()
    assert len(closed) == 1


def test_a_missing_server_is_a_transient_error_without_the_password() -> None:
    engine = open_database("postgresql://user:s3cret@127.0.0.1:1/transcription")
    with pytest.raises(DatabaseUnavailable) as caught:
        find_recording(engine, UUID)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "s3cret",
        "mysql://user:s3cret@host/name",
        "postgresql+psycopg2://user:s3cret@host/name",
        "postgresql://user:pass@s3cret:word@host:s3cret/name",
        "",
    ],
)
def test_an_invalid_postgres_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        open_database(url)
    assert "TRANSCRIPTION_DATABASE_URL" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_each_usual_scheme_of_postgres_works(database_url: str, scheme: str) -> None:
    engine = open_database(database_url.replace("postgresql", scheme, 1))
    check_version(engine)
    engine.dispose()


def test_connections_that_the_server_closed_are_replaced(engine: Engine) -> None:
    register(engine, [RECORDING])
    with transaction(engine) as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with psycopg.connect(engine.url.render_as_string(False).replace("+psycopg", "")) as administrator:
        administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    assert find_recording(engine, UUID) == RECORDING


def test_a_connection_lost_in_a_transaction_is_transient(engine: Engine) -> None:
    with pytest.raises(DatabaseUnavailable), transaction(engine) as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_a_temporarily_read_only_server_is_a_transient_error(database_url: str) -> None:
    engine = open_database(f"{database_url}&options=-c%20default_transaction_read_only%3Don")
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        register(engine, [RECORDING])
    engine.dispose()


def test_data_that_postgres_cannot_hold_is_a_permanent_error(engine: Engine) -> None:
    with pytest.raises(DatabaseRefused, match="NUL"):
        register(engine, [Recording(UUID, "file:///a\0.wav")])
    with pytest.raises(DatabaseRefused, match="surrogates"):
        register(engine, [Recording(UUID, "file:///a\ud800.wav")])


def test_an_error_never_repeats_the_values_of_a_statement(engine: Engine) -> None:
    with pytest.raises(DatabaseRefused) as caught, transaction(engine) as connection:
        connection.execute(text("SELECT CAST(:secret AS text)::integer * 0 / 0 FROM (SELECT 1) AS x"), {"secret": "1"})
    assert "secret" not in str(caught.value)
