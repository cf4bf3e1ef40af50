"""Fixtures for tests of batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster_tests.cli.batch.lab import Lab
from transcription_dagster_tests.fake_dagster import fake_dagster


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with fake_dagster() as dagster, DagsterClient(dagster.url) as client:
        yield Lab(tmp_path, dagster, client)
