"""The connections of a worker."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import procrastinate
import psycopg
import pytest
from procrastinate.exceptions import ConnectorException

from transcription_dagster.pool import connection as pool_connection
from transcription_dagster.pool.connection import PATIENCE_SECONDS


def test_a_long_lived_listener_waits_for_an_unavailable_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hours, clock = [0.0], time.monotonic
    outages = [psycopg.OperationalError("server closed the connection"), psycopg.OperationalError("refused")]

    async def listen(*_arguments: Any) -> None:
        hours[0] += 2 * PATIENCE_SECONDS
        if outages:
            raise ConnectorException from outages.pop()
        raise ConnectorException from psycopg.errors.InsufficientPrivilege()

    monkeypatch.setattr(time, "monotonic", lambda: clock() + hours[0])
    monkeypatch.setattr(pool_connection, "_POOL_SECONDS", 0.01)
    monkeypatch.setattr(procrastinate.PsycopgConnector, "listen_notify", listen)

    async def received(**_notice: str) -> None: ...

    async def run() -> None:
        await pool_connection.PatientConnector(conninfo="").listen_notify(received, ["a-channel"])

    with pytest.raises(ConnectorException) as closed:
        asyncio.run(run())
    assert (type(closed.value.__cause__), outages) == (psycopg.errors.InsufficientPrivilege, [])


@pytest.mark.parametrize("method", ["execute_query_async", "execute_query_one_async", "execute_query_all_async"])
def test_a_cancellation_that_arrives_with_the_answer_is_not_lost(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    async def cancel_with_the_answer() -> bool:
        rows: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        called = asyncio.Event()

        async def wait_for_answer(*_arguments: Any) -> list[str]:
            called.set()
            # As the connection pool does; before Python 3.12 it returns the answer of a canceled caller.
            return await asyncio.wait_for(rows, timeout=60)

        monkeypatch.setattr(procrastinate.PsycopgConnector, method, wait_for_answer)
        caller = asyncio.create_task(getattr(pool_connection.PatientConnector(conninfo=""), method)("SELECT 1"))
        await called.wait()
        await asyncio.sleep(0)
        rows.set_result([])
        caller.cancel()
        await asyncio.wait([caller])
        return caller.cancelled()

    assert asyncio.run(cancel_with_the_answer())


def test_a_statement_without_an_answer_delays_a_cancellation_for_a_limited_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_connection, "CONNECT_SECONDS", 0.01)
    statements: list[asyncio.Task[Any] | None] = []

    async def hang(*_arguments: Any) -> None:
        statements.append(asyncio.current_task())
        await asyncio.Event().wait()

    async def cancel() -> tuple[bool, bool]:
        monkeypatch.setattr(procrastinate.PsycopgConnector, "execute_query_async", hang)
        caller = asyncio.create_task(pool_connection.PatientConnector(conninfo="").execute_query_async("SELECT 1"))
        while not statements:
            await asyncio.sleep(0)
        caller.cancel()
        [statement] = statements
        assert statement is not None
        await asyncio.wait([caller, statement])
        return caller.cancelled(), statement.cancelled()

    assert asyncio.run(cancel()) == (True, True)
