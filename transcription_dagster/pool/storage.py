"""Dagster's storage in Postgres, which waits through outages of the database and is tuned for many short runs.

dagster-postgres retries a connection for about ten seconds and never repeats a statement: a run whose event cannot be
stored fails as if its step had failed, and is not retried. Here every public method waits and is repeated. Retrying
connections alone would not suffice: an outage kills statements in flight, and a method with several statements would
continue on a connection that lost its transaction. A method whose answer was lost may run twice; at worst an event
appears twice in a log.

dagster-postgres also opens a connection for each statement, and queries the catalogue for its own tables before many of
them, which is a large share of the database's load when recordings are short. Here a process keeps its connections and
caches the list of tables.

Two indexes on Dagster's table of runs serve the queue and its clients:

- The front of the queue. Twice a second Dagster's daemon reads every queued run, sorts the runs by priority, and
  launches those that its limits allow. The limits apply to all runs and to each value of the tag
  `transcription/gpu`, so only the first runs with each value can be launched: an index finds them.
- Idempotent launches. A client cannot know whether the web server creates the requested run: the request may have
  arrived, and the server may still be processing it, or waiting for Postgres, long after the client has timed out.
  Therefore each request has an id, a unique index admits one run with it, and `add_run` answers a repetition with that
  run. Retries of a run inherit its tags, and are runs of their own.

Both read the tags from the run as Dagster stores it (`runs.run_body`, JSON written by `json.dumps`): Dagster's separate
table of tags is written after the run, and cannot be indexed together with its table of runs.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from dagster import DagsterEventType, DagsterRun, DagsterRunStatus, EventLogEntry, RunsFilter
from dagster._core.errors import DagsterRunAlreadyExists
from dagster._core.storage.config import PostgresStorageConfig
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, JobBucket, TagBucket
from dagster._core.storage.runs.schema import RunTagsTable
from dagster._core.storage.tags import PRIORITY_TAG
from dagster._serdes import ConfigurableClassData
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.utils import (
    create_pg_engine,
    get_token_provider_from_config,
    pg_url_from_config,
    set_pg_statement_timeout,
)
from sqlalchemy import Engine, event, text

from transcription_dagster.dagster_api.values import LAUNCH_TAG
from transcription_dagster.pool.connection import patiently
from transcription_dagster.pool.devices import GPU_TAG

if TYPE_CHECKING:
    from dagster_postgres.auth import PgTokenProvider


#: Maximum number of runs with each value of the tag that one poll launches. More idle run workers are rare, and the
#: next poll serves them.
FRONT_RUNS: Final = 40

#: The daemon's query for queued runs.
WAITING: Final = RunsFilter(statuses=[DagsterRunStatus.QUEUED])

_GPU = f"""coalesce(substring(run_body from '"{GPU_TAG}": "([^"]*)"'), '')"""
#: Priority as Dagster parses it: anything but a number counts as 0.
_PRIORITY = f"""CAST(coalesce(substring(run_body from '"{PRIORITY_TAG}": "([-+]?[0-9]{{1,9}})"'), '0') AS integer)"""

_QUEUE_INDEX: Final = f"""
CREATE INDEX IF NOT EXISTS transcription_run_queue ON runs (({_GPU}), ({_PRIORITY}) DESC, id) WHERE status = 'QUEUED'
"""

#: Loose index scan: finds each value of the tag, then the first runs with it.
FRONT: Final = f"""
WITH RECURSIVE kinds (gpu) AS (
    (SELECT {_GPU} FROM runs WHERE status = 'QUEUED' ORDER BY {_GPU} LIMIT 1)
    UNION ALL
    SELECT (SELECT {_GPU} FROM runs WHERE status = 'QUEUED' AND {_GPU} > kinds.gpu ORDER BY {_GPU} LIMIT 1)
      FROM kinds WHERE kinds.gpu IS NOT NULL
)
SELECT front.run_id FROM kinds CROSS JOIN LATERAL (
    SELECT run_id FROM runs WHERE status = 'QUEUED' AND {_GPU} = kinds.gpu
     ORDER BY {_PRIORITY} DESC, id LIMIT {FRONT_RUNS}
) AS front WHERE kinds.gpu IS NOT NULL
"""  # noqa: S608  constants of this module alone

_LAUNCH = f"""substring(run_body from '"{LAUNCH_TAG.replace(".", "[.]")}": "([^"]*)"')"""
_NO_RETRY = """run_body LIKE '%"parent_run_id": null%'"""

_LAUNCH_INDEX: Final = f"""
CREATE UNIQUE INDEX IF NOT EXISTS transcription_run_launches ON runs (({_LAUNCH}))
 WHERE {_LAUNCH} IS NOT NULL AND {_NO_RETRY}
"""

#: The run with this id, or of this launch.
EARLIER_RUN: Final = f"""
SELECT run_id FROM runs WHERE run_id = :run_id
 UNION SELECT run_id FROM runs WHERE {_LAUNCH} = :launch AND {_LAUNCH} IS NOT NULL AND {_NO_RETRY}
"""  # noqa: S608  constants of this module alone


def index_runs(url: str) -> None:
    """Create both indexes. Dagster's tables must exist."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_QUEUE_INDEX)
        connection.execute(_LAUNCH_INDEX)


Storage = TypeVar("Storage", bound=type)

#: The URLs of databases in which this process has found or created Dagster's tables.
_with_tables: set[str] = set()

#: Connections that a process keeps open, and for how long.
_KEPT_CONNECTIONS = 4
_CONNECTION_SECONDS = 3600

#: Seconds for which a dynamic partition that was found is assumed to exist.
_PARTITION_SECONDS = 5.0


def _patient(storage: Storage) -> Storage:
    """Class decorator: wrap every public method in `patiently`, except generators, whose block cannot be repeated."""
    for name in dir(storage):
        method: Callable[..., Any] = inspect.getattr_static(storage, name)
        if not name.startswith("_") and inspect.isfunction(method) and not _is_generator(method):
            setattr(storage, name, patiently(method))
    return storage


def _is_generator(function: Callable[..., Any]) -> bool:
    """Return True also for a context manager made from a generator."""
    return inspect.isgeneratorfunction(inspect.unwrap(function))


@cache
def _shared_engine(
    postgres_url: str, token_provider: PgTokenProvider | None = None, statement_timeout: int | None = None
) -> Engine:
    """Return the engine that all Dagster instances of this process share; `statement_timeout` is in milliseconds."""
    engine = create_pg_engine(
        postgres_url,
        token_provider,
        isolation_level="AUTOCOMMIT",
        pool_size=_KEPT_CONNECTIONS,
        # Unlimited, as without a pool: each thread has its own connection.
        max_overflow=-1,
        pool_recycle=_CONNECTION_SECONDS,
    )
    if statement_timeout is not None:
        event.listen(engine, "connect", lambda connection, _: set_pg_statement_timeout(connection, statement_timeout))
    return engine


class _SharesConnections:
    """Mixin for the parts of Dagster's storage, which share the connections of their process."""

    postgres_url: str
    _engine: Engine

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: PgTokenProvider | None = None,
    ) -> None:
        # The next class in the MRO is a part of dagster-postgres, which takes these arguments.
        super().__init__(postgres_url, should_autocreate_tables, inst_data, token_provider)  # type: ignore[call-arg]
        self._tokens = token_provider
        self._engine = _shared_engine(postgres_url, token_provider)

    def optimize_for_webserver(self, statement_timeout: int, pool_recycle: int, max_overflow: int) -> None:
        """Limit each statement to `statement_timeout` milliseconds. Connections are pooled in any case."""
        self._engine = _shared_engine(self.postgres_url, self._tokens, statement_timeout)


class _RemembersMigrations:
    """Mixin: Dagster looks its migrations up at every poll of the daemon, but none is ever undone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The parents may look migrations up while they are created.
        self._built: set[str] = set()
        super().__init__(*args, **kwargs)

    def has_built_index(self, migration_name: str) -> bool:
        if migration_name not in self._built and super().has_built_index(migration_name):  # type: ignore[misc]
            self._built.add(migration_name)
        return migration_name in self._built


@_patient
class PatientRunStorage(_RemembersMigrations, _SharesConnections, PostgresRunStorage):
    """Storage of Dagster's runs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._has_run_times = False
        super().__init__(*args, **kwargs)

    def has_run_stats_index_cols(self) -> bool:
        # Dagster looks these columns up in the catalogue for every run, although they never change while it runs.
        self._has_run_times = self._has_run_times or super().has_run_stats_index_cols()
        return self._has_run_times

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Store a run; return the run that exists if this repeats its launch or a statement whose answer was lost."""
        try:
            return super().add_run(dagster_run)
        except DagsterRunAlreadyExists:
            parameters = {"run_id": dagster_run.run_id, "launch": dagster_run.tags.get(LAUNCH_TAG)}
            with self.connect() as connection:
                run_id = connection.execute(text(EARLIER_RUN), parameters).scalar()
                if run_id is None:
                    raise
                if run_id == dagster_run.run_id:
                    # The tags are written by a second statement, which may have been lost.
                    tags = [{"run_id": run_id, "key": key, "value": value} for key, value in dagster_run.tags.items()]
                    connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id == run_id))
                    connection.execute(RunTagsTable.insert(), tags)
            return self.get_runs(RunsFilter(run_ids=[run_id]))[0]

    def get_runs(
        self,
        filters: RunsFilter | None = None,
        cursor: str | None = None,
        limit: int | None = None,
        bucket_by: JobBucket | TagBucket | None = None,
        ascending: bool = False,
    ) -> Sequence[DagsterRun]:
        """Return runs; for the daemon's query of the queue, only the queued runs that could be launched now.

        Only the daemon reads queued runs oldest first and page by page: lists in the UI start with the newest.
        """
        if filters == WAITING and ascending and limit is not None:
            front = [row["run_id"] for row in self.fetchall(text(FRONT))]
            if not front:
                return []
            filters = RunsFilter(run_ids=front, statuses=[DagsterRunStatus.QUEUED])
        return super().get_runs(filters, cursor, limit, bucket_by, ascending)


@_patient
class PatientEventLogStorage(_SharesConnections, PostgresEventLogStorage):
    """Storage of Dagster's events."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._tables: set[str] = set()
        self._asset_columns: set[str] = set()
        #: The dynamic partition that was last found, and when.
        self._partition: tuple[str, str] | None = None
        self._partition_seen_at = 0.0
        super().__init__(*args, **kwargs)

    def has_table(self, table_name: str) -> bool:
        # Dagster checks for tables before each query of a partition or a limit; tables never disappear.
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        # A run looks up its own partition about thirty times a second.
        partition, now = (partitions_def_name, partition_key), time.monotonic()
        if partition == self._partition and now - self._partition_seen_at < _PARTITION_SECONDS:
            return True
        exists = super().has_dynamic_partition(partitions_def_name, partition_key)
        if exists:
            self._partition, self._partition_seen_at = partition, now
        return exists

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        super().delete_dynamic_partition(partitions_def_name, partition_key)
        self._partition = None

    def _has_asset_key_col_on_connection(self, conn: Any, column_name: str) -> bool:
        # Dagster looks these columns up for every event of an asset.
        if column_name not in self._asset_columns and super()._has_asset_key_col_on_connection(conn, column_name):
            self._asset_columns.add(column_name)
        return column_name in self._asset_columns

    def get_logs_for_all_runs_by_log_id(
        self,
        after_cursor: int = -1,
        dagster_event_type: DagsterEventType | set[DagsterEventType] | None = None,
        limit: int | None = None,
    ) -> Mapping[int, EventLogEntry]:
        """Return the events after the cursor, up to the first failure of a run whose status is not FAILURE yet.

        Dagster stores a failure's event before the run's status; if the database becomes unavailable in between, long
        before. The daemon reads an event once and skips the failure of a run that has not failed: that run would never
        be retried.
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
class PatientScheduleStorage(_RemembersMigrations, _SharesConnections, PostgresScheduleStorage):
    """Storage of Dagster's sensors and schedules."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._has_instigators = False
        super().__init__(*args, **kwargs)

    def _has_instigators_table(self, conn: Any) -> bool:
        # Dagster lists all tables for every tick of every sensor.
        self._has_instigators = self._has_instigators or super()._has_instigators_table(conn)
        return self._has_instigators


class PatientPostgresStorage(DagsterPostgresStorage):
    """Dagster's whole storage; `dagster.yaml` names this class."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: PgTokenProvider | None = None,
    ) -> None:
        # The parent creates plain storages, which connect only to create tables; the patient storages below replace
        # them.
        super().__init__(postgres_url, False, inst_data, token_provider)
        self.should_autocreate_tables = should_autocreate_tables
        # The code server opens an instance for every tick of a sensor: only the first one looks for the tables.
        creates = should_autocreate_tables and postgres_url not in _with_tables
        options: dict[str, Any] = {"token_provider": token_provider}
        self._run_storage = PatientRunStorage(postgres_url, creates, **options)
        self._event_log_storage = PatientEventLogStorage(postgres_url, creates, **options)
        self._schedule_storage = PatientScheduleStorage(postgres_url, creates, **options)
        if creates:
            _with_tables.add(postgres_url)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: PostgresStorageConfig
    ) -> PatientPostgresStorage:
        return cls(
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
            token_provider=get_token_provider_from_config(config_value),
        )
