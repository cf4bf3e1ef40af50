"""Dagster's storage during an outage, on a separate Postgres that is stopped and started."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    EventLogEntry,
    RunsFilter,
)
from dagster._core.events import JobFailureData, StepMaterializationData
from dagster._core.execution.backfill import BulkActionsFilter
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.event import listen
from sqlalchemy.exc import DBAPIError, OperationalError

from transcription_dagster.pool.connection import is_outage
from transcription_dagster.pool.storage import PatientEventLogStorage, PatientPostgresStorage
from transcription_dagster.settings import Settings
from transcription_dagster.stack.postgres import embedded_postgres
from transcription_dagster_tests.postgres import empty_database
from transcription_dagster_tests.system import wait_until

pytestmark = pytest.mark.slow


def test_a_call_waits_until_postgres_is_back(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(home=home)
    with ExitStack() as server, ThreadPoolExecutor() as threads:
        storage = PatientPostgresStorage(server.enter_context(embedded_postgres(settings)))
        # Used as run workers use it: with a connection that will break.
        storage.run_storage.optimize_for_webserver(statement_timeout=10_000, pool_recycle=3600, max_overflow=1)
        assert storage.run_storage.get_runs() == []
        server.close()
        with caplog.at_level(logging.WARNING):
            runs = threads.submit(storage.run_storage.get_runs)
            wait_until(lambda: caplog.records, 120, "it has noticed")
        assert not runs.done()
        with embedded_postgres(settings):
            assert runs.result(60) == []
        storage.run_storage.dispose()


def event_log(instance: DagsterInstance) -> PatientEventLogStorage:
    assert isinstance(instance.event_log_storage, PatientEventLogStorage)
    return instance.event_log_storage


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with empty_database() as url:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield connection
        engine.dispose()


@pytest.mark.parametrize(
    ("setting", "statement", "outage"),
    [
        ("default_transaction_read_only = on", "CREATE TABLE a (b int)", True),
        ("statement_timeout = 1", "SELECT pg_sleep(10)", False),
        ("statement_timeout = 0", "SELECT 1 / 0", False),
        ("statement_timeout = 0", "SELECT * FROM nowhere", False),
    ],
)
def test_a_refused_statement_is_no_outage_but_a_read_only_server_is(
    connection: Connection, setting: str, statement: str, outage: bool
) -> None:
    connection.execute(text(f"SET {setting}"))
    with pytest.raises(DBAPIError) as caught:
        connection.execute(text(statement))
    assert is_outage(caught.value) is outage


def test_a_refused_or_lost_connection_is_an_outage() -> None:
    for error in (psycopg2.OperationalError("refused"), psycopg2.InterfaceError("connection already closed")):
        assert is_outage(DBAPIError("SELECT 1", {}, error))
        assert is_outage(error)
    assert not is_outage(ValueError("no database's fault"))


def test_the_daemon_sees_a_failure_only_when_the_run_counts_as_failed(instance: DagsterInstance) -> None:
    slow, quick = (
        instance.add_run(DagsterRun(job_name="transcribe_recordings", status=DagsterRunStatus.STARTED))
        for _ in range(2)
    )

    def seen() -> list[str]:
        """Return the runs whose failure the daemon processes, in order."""
        events = instance.event_log_storage.get_logs_for_all_runs_by_log_id(
            dagster_event_type={DagsterEventType.RUN_FAILURE}
        )
        return [event.run_id for event in events.values()]

    # The database is unavailable between the first run's two writes, and back for the second run's.
    failure = store_failure(instance, slow)
    instance.handle_new_event(failure_of(quick))
    assert seen() == []
    instance.run_storage.handle_run_event(slow.run_id, failure, datetime.now(UTC))
    assert seen() == [slow.run_id, quick.run_id]


def test_connections_are_kept_from_call_to_call_and_from_instance_to_instance(
    instance: DagsterInstance, database: str
) -> None:
    def processes() -> set[int]:
        with psycopg2.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return {pid for (pid,) in cursor.fetchall()}

    def use(used: DagsterInstance) -> None:
        used.get_runs()
        used.has_dynamic_partition("recordings", "unknown")
        used.all_instigator_state()

    use(instance)
    before = processes()
    assert before
    use(instance)
    with DagsterInstance.from_ref(instance.get_ref()) as another:
        use(another)
    assert processes() == before


def test_only_the_first_instance_of_a_process_looks_for_the_tables(
    instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise AssertionError("tables were looked up")

    present = instance.get_run_ids()
    monkeypatch.setattr("dagster_postgres.run_storage.run_storage.retry_pg_connection_fn", refuse)
    with DagsterInstance.from_ref(instance.get_ref()) as another:
        assert another.get_run_ids() == present


def test_polls_do_not_look_up_tables_and_migrations_again(instance: DagsterInstance) -> None:
    statements: list[str] = []

    def poll() -> None:
        instance.all_instigator_state()
        instance.get_backfills(filters=BulkActionsFilter(tags={"dagster/backfill": "one"}))
        instance.get_run_partition_data(RunsFilter(tags={"dagster/partition_set": "one"}))

    poll()
    engine = event_log(instance)._engine
    listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    poll()
    assert statements
    assert [
        statement for statement in statements if "pg_catalog" in statement or "secondary_indexes" in statement
    ] == []


def test_a_lost_pooled_connection_is_replaced_even_at_the_start_of_a_transaction(
    instance: DagsterInstance, database: str
) -> None:
    run = instance.add_run(DagsterRun(job_name="transcribe_recordings"))
    materialization = DagsterEvent(
        event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
        job_name=run.job_name,
        event_specific_data=StepMaterializationData(AssetMaterialization("transcript")),
    )
    entry = entry_of(run, materialization)
    # A pooled connection gets its transaction isolation set before the first statement; after enough calls, all of the
    # connections have been used.
    for _ in range(10):
        event_log(instance).store_asset_event(entry, 1)
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cursor.fetchall()
    event_log(instance).store_asset_event(entry, 1)
    assert instance.has_asset_key(AssetKey("transcript"))


def test_statement_time_is_limited_on_request(instance: DagsterInstance) -> None:
    instance.optimize_for_webserver(statement_timeout=50, pool_recycle=3600, max_overflow=20)
    with (
        event_log(instance).index_connection() as connection,
        pytest.raises(OperationalError, match="statement timeout"),
    ):
        connection.execute(text("SELECT pg_sleep(10)"))


def test_a_deleted_partition_is_no_longer_assumed_to_exist(instance: DagsterInstance) -> None:
    assert not instance.has_dynamic_partition("recordings", "a-recording")
    instance.add_dynamic_partitions("recordings", ["a-recording", "another"])
    assert instance.has_dynamic_partition("recordings", "a-recording")
    instance.delete_dynamic_partition("recordings", "a-recording")
    assert not instance.has_dynamic_partition("recordings", "a-recording")
    assert instance.has_dynamic_partition("recordings", "another")


def failure_of(run: DagsterRun) -> EventLogEntry:
    event = DagsterEvent(
        event_type_value=DagsterEventType.RUN_FAILURE.value,
        job_name=run.job_name,
        event_specific_data=JobFailureData(error=None, failure_reason=None, first_step_failure_event=None),
    )
    return entry_of(run, event)


def entry_of(run: DagsterRun, event: DagsterEvent) -> EventLogEntry:
    return EventLogEntry(
        error_info=None, level=logging.INFO, user_message="", run_id=run.run_id, timestamp=time.time(),
        dagster_event=event,
    )  # fmt: skip


def store_failure(instance: DagsterInstance, run: DagsterRun) -> DagsterEvent:
    """Do the first of the two writes that Dagster makes when a run fails."""
    entry = failure_of(run)
    instance.event_log_storage.store_event(entry)
    return entry.get_dagster_event()
