from __future__ import annotations

from collections.abc import Iterator

import pytest

from transcription_dagster_tests.faults import NO_EMBEDDINGS
from transcription_dagster_tests.system import System, running_system


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Two executors and three run workers."""
    with running_system(tmp_path_factory.mktemp("home"), executors=2, run_workers=3, **NO_EMBEDDINGS) as system:
        yield system
