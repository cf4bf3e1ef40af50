"""Connections to the database that holds the queues, and procrastinate's application."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import procrastinate
import psycopg
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException
from psycopg.rows import DictRow, dict_row

from transcription_dagster.errors import DatabaseUnavailable
from transcription_dagster.pool.patience import driver_error, is_outage, patiently

#: Timeout for opening a connection, in seconds.
CONNECT_SECONDS = 5

#: Seconds for which a worker's connection pool tries to connect before it starts over. By default the pool doubles its
#: pauses, and a worker would reconnect long after the database is back and others count it as dead.
_POOL_SECONDS = 2


#: procrastinate's application for code that queues runs. It has no connections of its own: pass one with every call.
job_app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


class PatientConnector(procrastinate.PsycopgConnector):
    """A connector that waits while the database is unavailable.

    A statement may run twice if its answer was lost; the queues' statements are safe to repeat.
    """

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        await patiently(super().execute_query_async)(query, **arguments)

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        return await patiently(super().execute_query_one_async)(query, **arguments)

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        return await patiently(super().execute_query_all_async)(query, **arguments)

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Listen for as long as the worker lives: its heartbeats decide when an outage has lasted too long."""
        while True:
            try:
                await super().listen_notify(on_notification, channels)
            except ConnectorException as error:
                if not is_outage(error):
                    raise
                await asyncio.sleep(_POOL_SECONDS)


def worker_connector(url: str) -> PatientConnector:
    """Return a worker's connections, to be opened in its event loop."""
    return PatientConnector(
        conninfo=url,
        min_size=1,
        max_size=4,
        timeout=_POOL_SECONDS + 1,
        reconnect_timeout=_POOL_SECONDS,
        kwargs={"connect_timeout": CONNECT_SECONDS},
    )


@contextmanager
def database_errors() -> Iterator[None]:
    """Translate the errors of an outage into `DatabaseUnavailable`, whose message never shows the URL."""
    try:
        yield
    except (psycopg.Error, ConnectorException) as error:
        if not is_outage(error):
            raise
        raise DatabaseUnavailable(f"the database did not answer: {type(driver_error(error)).__name__}") from error


def open_connection(url: str) -> psycopg.Connection[DictRow]:
    """Open a connection that commits each statement and returns rows as dictionaries.

    Raises `DatabaseUnavailable` if the database does not answer.
    """
    with database_errors():
        return psycopg.Connection[DictRow].connect(
            url, autocommit=True, row_factory=dict_row, connect_timeout=CONNECT_SECONDS
        )
