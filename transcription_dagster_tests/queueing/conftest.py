from __future__ import annotations

from collections.abc import Iterator

import pytest

from transcription_dagster_tests.postgres import cloned_database


@pytest.fixture
def queues() -> Iterator[str]:
    """URL of a fresh database with the queues' tables."""
    with cloned_database() as url:
        yield url
