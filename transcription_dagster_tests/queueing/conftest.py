from __future__ import annotations

from collections.abc import Iterator

import pytest

from transcription_dagster.queueing.app import apply_schema
from transcription_dagster_tests.postgres import empty_database


@pytest.fixture
def queues() -> Iterator[str]:
    """URL of a fresh database with the queues' tables."""
    with empty_database() as url:
        apply_schema(url)
        yield url
