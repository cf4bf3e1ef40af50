"""The procrastinate application, and how the queues' tables are reached."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import procrastinate
import psycopg
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException
from psycopg.rows import DictRow, dict_row
from tenacity import before_sleep_log, retry, retry_if_exception, stop_after_delay, wait_exponential_jitter

from transcription_dagster.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

#: Seconds that opening a connection may take.
CONNECT_SECONDS = 5

#: Seconds for which a worker's pool looks for a connection before it starts afresh. Left alone, a pool doubles its
#: pauses, and a worker would still be silent when others count it as dead long after the database came back.
_POOL_SECONDS = 2


#: The application for code without an event loop. It has no connections of its own: every call is given one.
jobs = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


class PatientConnector(procrastinate.PsycopgConnector):
    """Waits for a database that went away, where procrastinate's own worker would end.

    Statements may be repeated after their answer was lost: the queue's functions refuse what no longer applies.
    """

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        await patiently(super().execute_query_async)(query, **arguments)

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        return await patiently(super().execute_query_one_async)(query, **arguments)

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        return await patiently(super().execute_query_all_async)(query, **arguments)

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        await patiently(super().listen_notify)(on_notification, channels)


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database cannot be reached or takes no statements now, rather than refused one."""
    if isinstance(error, DatabaseUnavailable):
        return True
    cause = _cause(error)
    # A pool that found no connection in time is an OperationalError too; a read-only moment is an InternalError.
    return isinstance(cause, psycopg.OperationalError | psycopg.errors.ReadOnlySqlTransaction)


#: A restart of Postgres or a fail-over takes seconds to minutes; work under way is worth waiting for.
patiently = retry(
    retry=retry_if_exception(is_outage),
    wait=wait_exponential_jitter(multiplier=0.2, max=2),
    stop=stop_after_delay(1800),
    before_sleep=before_sleep_log(logger, logging.WARNING),
    reraise=True,
)


def worker_app(url: str) -> procrastinate.App:
    """The application for workers: tasks are registered on it, and it runs in an event loop."""
    return procrastinate.App(
        connector=PatientConnector(
            conninfo=url,
            min_size=1,
            max_size=4,
            timeout=_POOL_SECONDS + 1,
            reconnect_timeout=_POOL_SECONDS,
            kwargs={"connect_timeout": CONNECT_SECONDS},
        )
    )


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn the errors of an outage into `DatabaseUnavailable`, which never shows the URL."""
    try:
        yield
    except (psycopg.Error, ConnectorException) as error:
        if not is_outage(error):
            raise
        raise DatabaseUnavailable(f"the database did not answer: {type(_cause(error)).__name__}") from error


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ if isinstance(error, ConnectorException) else error


def open_connection(url: str) -> psycopg.Connection[DictRow]:
    """Open a connection that commits each statement and gives rows as dictionaries."""
    with database_errors():
        return psycopg.Connection[DictRow].connect(
            url, autocommit=True, row_factory=dict_row, connect_timeout=CONNECT_SECONDS
        )
