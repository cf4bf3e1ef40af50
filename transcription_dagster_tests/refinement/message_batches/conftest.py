from __future__ import annotations

import pytest
from sqlalchemy import Engine

from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.refinement.claude import ClaudeBatches, connect
from transcription_dagster_tests.messages_server import MessagesServer
from transcription_dagster_tests.refinement.message_batches.exchanges import A, B, corrections


@pytest.fixture
def batches(server: MessagesServer, engine: Engine) -> ClaudeBatches:
    server.answer = corrections
    register(engine, [Recording(recording, f"/{recording}.wav") for recording in (A, B)])
    claude = connect(retries=0)
    assert claude is not None
    return ClaudeBatches(claude)
