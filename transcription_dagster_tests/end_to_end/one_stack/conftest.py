from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from transcription_dagster_tests.faults import NO_EMBEDDINGS
from transcription_dagster_tests.sources.web_server import Reply, WebServer, web_server
from transcription_dagster_tests.system import System, running_system

EXECUTORS, RUN_WORKERS = 2, 3
WEBHOOK_SECRET = "a secret that tests sign with"


@pytest.fixture(scope="package")
def endless_source() -> Iterator[WebServer]:
    """Provide a server whose recording never ends."""
    with web_server(lambda _request: Reply(body=b"RIFF", announced=1_000_000, stall=True)) as server:
        yield server


@pytest.fixture(scope="package")
def other_program() -> Iterator[WebServer]:
    """Provide the server of another program, which offers recordings and receives webhooks."""
    with web_server(lambda _request: Reply(404)) as server:
        yield server


@pytest.fixture(scope="package")
def system(
    tmp_path_factory: pytest.TempPathFactory, endless_source: WebServer, other_program: WebServer
) -> Iterator[System]:
    settings: dict[str, Any] = {
        **NO_EMBEDDINGS,
        # Few recordings fill the executors, and the others wait in Dagster's queue.
        "runs_per_gpu": "2",
        "source_hosts": f"{endless_source.url},{other_program.url}",
        "ib_allow_private": "true",
        "webhook_hosts": other_program.url,
        "webhook_secret": WEBHOOK_SECRET,
    }
    home = tmp_path_factory.mktemp("home")
    with running_system(home, executors=EXECUTORS, run_workers=RUN_WORKERS, **settings) as system:
        yield system
