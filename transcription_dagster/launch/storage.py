"""Dagster's storage in Postgres, with the patience to wait for a database that is away.

dagster-postgres tries a new connection for about ten seconds and repeats no statement: a run whose event cannot be
stored fails as if its step had failed, and is not tried again. Here every call waits and is repeated. A call whose
answer alone was lost may so be done twice; the worst of that is an event that stands in a log twice.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any, TypeVar

import psycopg2
from dagster import DagsterEventType, EventLogEntry, RunsFilter
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.config import PostgresStorageConfig
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.utils import DagsterPostgresException, pg_url_from_config
from psycopg2.errors import QueryCanceled, ReadOnlySqlTransaction
from tenacity import RetryCallState, retry, retry_if_exception, stop_after_delay, wait_exponential_jitter

from transcription_dagster.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

Storage = TypeVar("Storage", bound=type)

#: A restart of Postgres or a fail-over takes seconds to minutes; a run under way is worth waiting for.
_PATIENCE_SECONDS = 1800

_OUTAGES = (psycopg2.OperationalError, psycopg2.InterfaceError, ReadOnlySqlTransaction)


def is_outage(error: BaseException) -> bool:
    """Whether an error of Dagster's storage says that the database cannot be reached or takes no statements now."""
    failed = error.__cause__ if isinstance(error, DagsterPostgresException) else error
    reason = getattr(failed, "orig", None)
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


@_patient
class PatientRunStorage(PostgresRunStorage):
    """Dagster's runs."""

    def __init__(self, postgres_url: str) -> None:
        self._has_run_times = False
        super().__init__(postgres_url)

    def has_run_stats_index_cols(self) -> bool:
        # Dagster reads the columns from the catalogue at every look at a run, though they do not change under it.
        self._has_run_times = self._has_run_times or super().has_run_stats_index_cols()
        return self._has_run_times


@_patient
class PatientEventLogStorage(PostgresEventLogStorage):
    """Dagster's events."""

    def __init__(self, postgres_url: str) -> None:
        self._asset_columns: set[str] = set()
        super().__init__(postgres_url)

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
class PatientScheduleStorage(PostgresScheduleStorage):
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
