from __future__ import annotations

from collections.abc import Iterator

import pytest

from transcription_dagster.refinement.claude import Claude, connect
from transcription_dagster_tests.messages_server import MessagesServer, messages_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesServer]:
    with messages_server(monkeypatch) as running:
        yield running


@pytest.fixture
def claude(server: MessagesServer) -> Claude:
    connected = connect(retries=1, timeout=20.0)
    assert connected is not None
    return connected
