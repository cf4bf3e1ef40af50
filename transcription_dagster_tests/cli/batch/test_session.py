"""A batch on a stack, with the settings of the stack's database."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from transcription_dagster.cli.batch.input import BatchInput
from transcription_dagster.cli.batch.session import run_batch
from transcription_dagster.cli.terminal import StopSignals
from transcription_dagster.database.recordings import find_recording
from transcription_dagster.settings import load_settings
from transcription_dagster.shared_settings import push
from transcription_dagster.sources.addresses import whole_url
from transcription_dagster.sources.worklists import load
from transcription_dagster.stack.one_stack import JoinedStack
from transcription_dagster.store.object_store import ObjectStore

pytestmark = pytest.mark.slow

ONE = "919f49d0-ef35-5e93-b564-e948b9d75f83"


@pytest.fixture
def third_signal() -> Iterator[StopSignals]:
    """Provide the signals of a batch that has received three, so that it ends before its first run."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signals = StopSignals()
    for _ in range(3):
        signal.raise_signal(signal.SIGTERM)
    yield signals
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_batch_keeps_the_secrets_of_urls_in_the_store_in_force(
    engine: Engine, database_url: str, tmp_path: Path, third_signal: StopSignals
) -> None:
    in_force, own = ((tmp_path / name).as_uri() for name in ("in force", "own"))
    push(load_settings(store=in_force), engine, has_credentials=False)
    source = "https://host/a.wav?token=s3cr3t"
    path = tmp_path / "worklist.json"
    path.write_text(json.dumps([{"uuid": ONE, "source": source}]))
    worklist = load(path)
    settings = load_settings(home=tmp_path / "home", store=own, database_url=database_url)
    stack = JoinedStack("http://127.0.0.1:1", "elsewhere", database_url)

    outcomes = run_batch(BatchInput(worklist, worklist.entries), stack, settings, third_signal)

    assert [outcome.entry.uuid for outcome in outcomes] == [ONE]
    recording = find_recording(engine, ONE)
    assert recording is not None
    assert recording.source == "https://host/a.wav"
    assert whole_url(ObjectStore(in_force), ONE, recording.source) == source
    assert whole_url(ObjectStore(own), ONE, recording.source) == recording.source
