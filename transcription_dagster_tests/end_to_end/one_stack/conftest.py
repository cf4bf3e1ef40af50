from __future__ import annotations

from collections.abc import Iterator

import pytest

from transcription_dagster_tests.faults import NO_EMBEDDINGS
from transcription_dagster_tests.sources.web_server import Reply, WebServer, web_server
from transcription_dagster_tests.system import System, running_system

EXECUTORS, RUN_WORKERS = 2, 3


@pytest.fixture(scope="package")
def endless_source() -> Iterator[WebServer]:
    """A server that never comes to the end of a recording."""
    with web_server(lambda _request: Reply(body=b"RIFF", announced=1_000_000, stall=True)) as server:
        yield server


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory, endless_source: WebServer) -> Iterator[System]:
    settings = NO_EMBEDDINGS | {"source_hosts": endless_source.url, "ib_allow_private": "true"}
    home = tmp_path_factory.mktemp("home")
    with running_system(home, executors=EXECUTORS, run_workers=RUN_WORKERS, **settings) as system:
        yield system
