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
