"""Executors pull: a free executor claims the next recording."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from transcription_dagster.audio.decode import normalise
from transcription_dagster.database.connection import open_database
from transcription_dagster.model import SpeechOptions
from transcription_dagster.pool.inference_client import InferenceAnswer, InferenceClient
from transcription_dagster.pool.requests import TranscriptionRequest
from transcription_dagster.pool.state import read_pool
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.shared_settings import push
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster_tests import slow_executor
from transcription_dagster_tests.postgres import cloned_database
from transcription_dagster_tests.system import CHECKPOINT, DEMO_RECORDINGS, environment_of, wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("stacks of their own")]

RECORDING = "00000000-0000-4000-8000-000000000000"
STOCK = ("-m", "transcription_dagster", "gpu-worker", "--gpu", "cpu:0")
SLOW = ("-m", slow_executor.__name__, "cpu:1")


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Settings, str]]:
    """Provide a normal executor and a slow one on an empty queue, without Dagster."""
    # One recording at a time, so that the slow executor cannot claim its share of the queue at once.
    for name, value in {**environment_of(tmp_path, executors=2), "TRANSCRIPTION_SLOTS": "1"}.items():
        monkeypatch.setenv(name, value)
    with cloned_database() as url, ExitStack() as stack:
        monkeypatch.setenv("TRANSCRIPTION_DATABASE_URL", url)
        engine = open_database(url)
        push(load_settings(), engine, has_credentials=False)
        engine.dispose()
        for command in (STOCK, SLOW):
            process = stack.enter_context(subprocess.Popen([sys.executable, *command]))
            stack.callback(process.terminate)
        settings = load_settings()
        wait_until(lambda: len(read_pool(url, stale_seconds=8).alive("gpu")) == 2, 120, "both executors are alive")
        yield settings, url


def test_the_fast_executor_does_more_than_the_slow_one(pool: tuple[Settings, str], tmp_path: Path) -> None:
    settings, url = pool
    flac = tmp_path / "audio.flac"
    facts = normalise(DEMO_RECORDINGS[0], flac, max_seconds=60)
    key = object_key(RECORDING, "audio.flac")
    ObjectStore(settings.store_url).put_file(key, flac)
    options = SpeechOptions(str(CHECKPOINT), language="en", temperatures=(0.0,))
    request = TranscriptionRequest(RECORDING, key, facts.source_sha256, facts.seconds, options)
    client = InferenceClient(url)
    asked = [request.for_queue(run_id=f"run-{number}", queue="gpu") for number in range(16)]
    for each in asked:
        client.ask(each)
    answers = [client.wait(each, on_event=lambda _line: None) for each in asked]
    served = Counter(str(answer.result["executor"]).split("@")[0] for answer in answers)
    assert served["cpu-0"] + served["cpu-1"] == 16
    assert served["cpu-0"] >= 2 * served["cpu-1"] > 0
    assert len({said(answer) for answer in answers}) == 1


def said(answer: InferenceAnswer) -> str:
    return str(answer.result["transcript"])
