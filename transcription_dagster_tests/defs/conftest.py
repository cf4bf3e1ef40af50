from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from transcription_dagster_tests.messages_server import MessagesServer, messages_server
from transcription_dagster_tests.postgres import database_url, engine

__all__ = ["database_url", "engine"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Provide a separate Dagster instance, which stores runs, events and partitions."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def at_home(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set a separate database, home and store; return the store's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSCRIPTION_DATABASE_URL", database_url)
    monkeypatch.setenv("TRANSCRIPTION_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSCRIPTION_STORE", (tmp_path / "store").as_uri())
    return tmp_path / "store"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesServer]:
    with messages_server(monkeypatch) as server:
        yield server
