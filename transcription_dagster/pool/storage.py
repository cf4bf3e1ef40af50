"""Dagster's storage in Postgres, with the patience to wait for a database that is away, and for daily use at scale.

dagster-postgres tries a new connection for about ten seconds and repeats no statement: a run whose event cannot be
stored fails as if its step had failed, and is not tried again. Here every call waits and is repeated. A call whose
answer alone was lost may so be done twice; the worst of that is an event that stands in a log twice.

It also opens a connection for each statement, and asks the catalogue for its own tables before many of them: for a
short recording a good part of all that Postgres does. Here a process keeps its connections and remembers its tables.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import takewhile
from typing import Any, TypeVar

import psycopg2
from dagster import DagsterEventType, DagsterRun, DagsterRunStatus, EventLogEntry, RunsFilter
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.config import PostgresStorageConfig
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, JobBucket, TagBucket
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.utils import (
    DagsterPostgresException,
    create_pg_engine,
    pg_url_from_config,
    set_pg_statement_timeout,
)
from psycopg2.errors import QueryCanceled, ReadOnlySqlTransaction
from sqlalchemy import Engine, event, text
from tenacity import RetryCallState, retry, retry_if_exception, stop_after_delay, wait_exponential_jitter

from transcription_dagster.errors import DatabaseUnavailable
from transcription_dagster.pool.run_queue import FRONT, WAITING

logger = logging.getLogger(__name__)

Storage = TypeVar("Storage", bound=type)

#: A restart of Postgres or a fail-over takes seconds to minutes; a run under way is worth waiting for.
_PATIENCE_SECONDS = 1800

#: Connections that a process keeps, of those it has opened, and for how long.
_KEPT_CONNECTIONS = 4
_CONNECTION_SECONDS = 3600

#: For so long a partition that was seen to exist is taken to exist still.
_PARTITION_SECONDS = 5.0

_OUTAGES = (psycopg2.OperationalError, psycopg2.InterfaceError, ReadOnlySqlTransaction)


def is_outage(error: BaseException) -> bool:
    """Whether an error of Dagster's storage says that the database cannot be reached or takes no statements now."""
    failed = error.__cause__ if isinstance(error, DagsterPostgresException) else error
    # What fails outside of a statement, such as a change of the isolation level, comes as the driver's own error.
    reason = getattr(failed, "orig", failed)
    if isinstance(reason, QueryCanceled):  # a statement that took too long
        return False
    return isinstance(reason, _OUTAGES) or getattr(failed, "connection_invalidated", False)


def _say(state: RetryCallState) -> None:
    # Not the error: the driver's repeats the statement with all its values.
    name = getattr(state.fn, "__name__", "a call")
    logger.warning("the database does not answer Dagster's storage; %s waits for it", name)


def _give_up(state: RetryCallState) -> None:
    # Another class than the driver's: the patience of a method that called this one is over too.
    error = state.outcome.exception() if state.outcome else None
    raise DatabaseUnavailable(f"Dagster's storage did not answer for {_PATIENCE_SECONDS} s") from error


_patiently = retry(
    retry=retry_if_exception(is_outage),
    wait=wait_exponential_jitter(multiplier=0.2, max=5),
    stop=stop_after_delay(_PATIENCE_SECONDS),
    before_sleep=_say,
    retry_error_callback=_give_up,
)


def _patient(storage: Storage) -> Storage:
    """Give every public method of a storage's class patience."""
    for name in dir(storage):
        method: Callable[..., Any] = inspect.getattr_static(storage, name)
        if not name.startswith("_") and inspect.isfunction(method) and not _is_generator(method):
            setattr(storage, name, _patiently(method))
    return storage


def _is_generator(function: Callable[..., Any]) -> bool:
    """Also of a context manager: its block cannot be repeated."""
    return inspect.isgeneratorfunction(inspect.unwrap(function))


@cache
def _connections(postgres_url: str, statement_timeout: int | None = None) -> Engine:
    """An engine for all of this process's instances of Dagster; milliseconds that a statement may take."""
    engine = create_pg_engine(
        postgres_url,
        isolation_level="AUTOCOMMIT",
        pool_size=_KEPT_CONNECTIONS,
        # As many at a time as there are threads that ask, as without a pool.
        max_overflow=-1,
        pool_recycle=_CONNECTION_SECONDS,
    )
    if statement_timeout is not None:
        event.listen(engine, "connect", lambda connection, _: set_pg_statement_timeout(connection, statement_timeout))
    return engine


class _Connected:
    """A part of Dagster's storage that shares the connections of its process."""

    postgres_url: str
    _engine: Engine

    def __init__(self, postgres_url: str) -> None:
        super().__init__(postgres_url)  # type: ignore[call-arg]  # of the part of dagster-postgres beside this class
        self._engine = _connections(postgres_url)

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Limit the time of a statement to so many milliseconds; the connections are kept in any case."""
        self._engine = _connections(self.postgres_url, statement_timeout)


@_patient
class PatientRunStorage(_Connected, PostgresRunStorage):
    """Dagster's runs."""

    def __init__(self, postgres_url: str) -> None:
        self._has_run_times = False
        super().__init__(postgres_url)

    def has_run_stats_index_cols(self) -> bool:
        # Dagster reads the columns from the catalogue at every look at a run, though they do not change under it.
        self._has_run_times = self._has_run_times or super().has_run_stats_index_cols()
        return self._has_run_times

    def get_runs(
        self,
        filters: RunsFilter | None = None,
        cursor: str | None = None,
        limit: int | None = None,
        bucket_by: JobBucket | TagBucket | None = None,
        ascending: bool = False,
    ) -> Sequence[DagsterRun]:
        """Return runs; of those that wait, in order and page by page, only the ones that could be launched now.

        That is how the daemon asks, at every look at the queue, and nobody else: lists in the UI begin with the newest.
        """
        if filters == WAITING and ascending and limit is not None:
            front = [row["run_id"] for row in self.fetchall(text(FRONT))]
            if not front:
                return []
            filters = RunsFilter(run_ids=front, statuses=[DagsterRunStatus.QUEUED])
        return super().get_runs(filters, cursor, limit, bucket_by, ascending)


@_patient
class PatientEventLogStorage(_Connected, PostgresEventLogStorage):
    """Dagster's events."""

    def __init__(self, postgres_url: str) -> None:
        self._tables: set[str] = set()
        self._asset_columns: set[str] = set()
        #: The partition that was last seen to exist, and when.
        self._partition: tuple[str, str] | None = None
        self._partition_seen_at = 0.0
        super().__init__(postgres_url)

    def has_table(self, table_name: str) -> bool:
        # Tables are asked for before each look at a partition or a limit, and do not go away.
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        # A run asks for its own some thirty times in a second.
        asked, now = (partitions_def_name, partition_key), time.monotonic()
        if asked == self._partition and now - self._partition_seen_at < _PARTITION_SECONDS:
            return True
        there = super().has_dynamic_partition(partitions_def_name, partition_key)
        if there:
            self._partition, self._partition_seen_at = asked, now
        return there

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        super().delete_dynamic_partition(partitions_def_name, partition_key)
        self._partition = None

    def _has_asset_key_col_on_connection(self, conn: Any, column_name: str) -> bool:
        # These are read with every event of an asset.
        if column_name not in self._asset_columns and super()._has_asset_key_col_on_connection(conn, column_name):
            self._asset_columns.add(column_name)
        return column_name in self._asset_columns

    def get_logs_for_all_runs_by_log_id(
        self,
        after_cursor: int = -1,
        dagster_event_type: DagsterEventType | set[DagsterEventType] | None = None,
        limit: int | None = None,
    ) -> Mapping[int, EventLogEntry]:
        """Return what the daemon has not seen yet, up to the first failure of a run that does not count as failed yet.

        Dagster stores the event of a failure first and the run's new status after it; with a database that goes away in
        between, long after it. Its daemon looks at an event once, and passes over the failure of a run that has not
        failed: the run would never be tried again.
        """
        events = super().get_logs_for_all_runs_by_log_id(after_cursor, dagster_event_type, limit)
        failed = [event.run_id for event in events.values() if event.dagster_event_type == DagsterEventType.RUN_FAILURE]
        if not failed:
            return events
        under_way = {
            record.dagster_run.run_id
            for record in self._instance.get_run_records(RunsFilter(run_ids=failed, statuses=NOT_FINISHED_STATUSES))
        }
        return dict(takewhile(lambda item: item[1].run_id not in under_way, events.items()))


@_patient
class PatientScheduleStorage(_Connected, PostgresScheduleStorage):
    """Dagster's sensors and schedules."""


class PatientPostgresStorage(DagsterPostgresStorage):
    """All of Dagster's storage; `dagster.yaml` names it."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.postgres_url = postgres_url
        self.should_autocreate_tables = True
        self._inst_data = inst_data
        self._run_storage = PatientRunStorage(postgres_url)
        self._event_log_storage = PatientEventLogStorage(postgres_url)
        self._schedule_storage = PatientScheduleStorage(postgres_url)
        DagsterStorage.__init__(self)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: PostgresStorageConfig
    ) -> PatientPostgresStorage:
        return cls(pg_url_from_config(config_value), inst_data)
