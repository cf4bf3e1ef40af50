"""Connections to the database that holds the queues, which wait through its outages.

It decides what counts as an outage, and how long work in progress waits for its end.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final, LiteralString, ParamSpec, TypeVar

import procrastinate
import psycopg
import psycopg2
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException
from psycopg.rows import DictRow, dict_row
from psycopg2.errors import QueryCanceled, ReadOnlySqlTransaction
from tenacity import RetryCallState, retry, retry_if_exception, stop_after_delay, wait_exponential_jitter

from transcription_dagster.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

#: A restart or fail-over of Postgres takes seconds to minutes; work in progress is worth waiting for.
PATIENCE_SECONDS: Final = 1800

#: Longest pause between two attempts: a worker must send a heartbeat before others count it as dead.
_LONGEST_PAUSE_SECONDS = 2

#: Both drivers' errors of a lost or refused connection, and of a server that is read-only during a fail-over.
_OUTAGES = (
    psycopg.OperationalError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    ReadOnlySqlTransaction,
)
#: Drivers classify these as operational errors too, but the server did answer: the statement took too long.
_ANSWERS = (psycopg.errors.QueryCanceled, QueryCanceled)


class OutageTooLong(DatabaseUnavailable):
    """The database was unavailable for `PATIENCE_SECONDS`; patient callers of a patient function do not wait again."""


def driver_error(error: BaseException) -> BaseException | None:
    """Return the error that procrastinate or dagster-postgres wrapped; any other error itself."""
    wrappers: tuple[type[BaseException], ...] = (ConnectorException,)
    # Executors and commands do not import Dagster; if it is not loaded, it has raised nothing.
    if dagster_postgres := sys.modules.get("dagster_postgres.utils"):
        wrappers = (*wrappers, dagster_postgres.DagsterPostgresException)
    return error.__cause__ if isinstance(error, wrappers) else error


def is_outage(error: BaseException) -> bool:
    """Return True if the database is unreachable or accepts no statements, False if it rejected one."""
    if isinstance(error, DatabaseUnavailable):
        return not isinstance(error, OutageTooLong)
    failed = driver_error(error)
    # SQLAlchemy wraps the errors of statements, but not those of setting up a connection.
    reason = getattr(failed, "orig", failed)
    if isinstance(reason, _ANSWERS):
        return False
    return isinstance(reason, _OUTAGES) or getattr(failed, "connection_invalidated", False)


def _log_wait(state: RetryCallState) -> None:
    # The driver's error is not logged: its message repeats the statement with all its values.
    logger.warning("the database does not answer; %s waits for it", getattr(state.fn, "__name__", "a call"))


def _give_up(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    raise OutageTooLong(f"the database did not answer for {PATIENCE_SECONDS} s") from error


#: Decorator: repeats a function or coroutine function while the database is unavailable. The function must be safe to
#: repeat after it took effect and its answer was lost. Raises `OutageTooLong` in the end.
patiently = retry(
    retry=retry_if_exception(is_outage),
    wait=wait_exponential_jitter(multiplier=0.2, max=_LONGEST_PAUSE_SECONDS),
    stop=stop_after_delay(PATIENCE_SECONDS),
    before_sleep=_log_wait,
    retry_error_callback=_give_up,
)


#: Timeout for opening a connection, in seconds.
CONNECT_SECONDS = 5

#: Seconds for which a worker's connection pool tries to connect before it starts over. By default the pool doubles its
#: pauses, and a worker would reconnect long after the database is back and others count it as dead.
_POOL_SECONDS = 2


#: procrastinate's application for code that queues runs. It has no connections of its own: pass one with every call.
job_app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


def _uninterrupted(
    statement: Callable[Arguments, Coroutine[Any, Any, Result]],
) -> Callable[Arguments, Awaitable[Result]]:
    """Return `statement` so that canceling its caller never interrupts it: it first ends, or is given up after a while.

    An interrupted statement could lose the cancellation, and a worker that was asked to stop would continue: the
    connection pool waits in `asyncio.wait_for`, which before Python 3.12 returns its result in spite of a cancellation
    that arrives at the same moment (https://github.com/python/cpython/issues/86296).
    """

    @wraps(statement)
    async def run(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        task = asyncio.create_task(statement(*arguments, **named))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task], timeout=CONNECT_SECONDS)
            task.cancel()
            raise

    return run


class PatientConnector(procrastinate.PsycopgConnector):
    """A connector that waits while the database is unavailable.

    A statement may run twice if its answer was lost; the queues' statements are safe to repeat.
    """

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        await patiently(_uninterrupted(super().execute_query_async))(query, **arguments)

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        return await patiently(_uninterrupted(super().execute_query_one_async))(query, **arguments)

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        return await patiently(_uninterrupted(super().execute_query_all_async))(query, **arguments)

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
