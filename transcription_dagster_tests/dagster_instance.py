"""Fixtures: a database of a module's own, and a Dagster instance on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from transcription_dagster.settings import Settings
from transcription_dagster.stack.home import dagster_home, write_dagster_files
from transcription_dagster_tests.postgres import cloned_database


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with cloned_database() as url:
        yield url


@pytest.fixture
def instance(database: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """Provide a Dagster instance as the program configures it, on a real Postgres."""
    settings = Settings(home=home)
    write_dagster_files(settings)
    monkeypatch.setenv("TRANSCRIPTION_DATABASE_URL", database)
    with DagsterInstance.from_config(str(dagster_home(settings))) as instance:
        yield instance
