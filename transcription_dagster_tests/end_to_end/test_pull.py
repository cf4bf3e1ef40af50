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
from transcription_dagster.pool.connection import open_connection
from transcription_dagster.pool.devices import ANY_GPU, gpu_queue
from transcription_dagster.pool.inference_client import InferenceAnswer, InferenceClient
from transcription_dagster.pool.inference_requests import TranscriptionRequest
from transcription_dagster.pool.status import read_pool
from transcription_dagster.settings import RUNS_AHEAD, Settings, load_settings
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
    # One recording at a time, so that the slow executor cannot claim all of the queue.
    for name, value in {**environment_of(tmp_path, executors=2), "TRANSCRIPTION_SLOTS": "1"}.items():
        monkeypatch.setenv(name, value)
    with cloned_database() as url, ExitStack() as stack:
        monkeypatch.setenv("TRANSCRIPTION_DATABASE_URL", url)
        engine = open_database(url)
        push(load_settings(), engine, has_credentials=False)
        engine.dispose()
        executors = [stack.enter_context(subprocess.Popen([sys.executable, *command])) for command in (STOCK, SLOW)]
        for executor in executors:
            stack.callback(executor.terminate)
        settings = load_settings()
        wait_until(lambda: len(read_pool(url, stale_seconds=8).alive("gpu")) == 2, 120, "both executors are alive")
        yield settings, url
    assert [executor.returncode for executor in executors] == [0, 0]


# `pool/test_request_queue.py` tests the claims without processes.
@pytest.mark.exhaustive
def test_free_executors_take_what_a_slow_one_does_not(pool: tuple[Settings, str], tmp_path: Path) -> None:
    settings, url = pool
    flac = tmp_path / "audio.flac"
    facts = normalise(DEMO_RECORDINGS[0], flac, max_seconds=60)
    key = object_key(RECORDING, "audio.flac")
    ObjectStore(settings.store_url).put_file(key, flac)
    options = SpeechOptions(str(CHECKPOINT), language="en", temperatures=(0.0,))
    request = TranscriptionRequest(RECORDING, key, facts.source_sha256, facts.seconds, options)
    client = InferenceClient(url)
    first = request.for_queue(run_id="first", queue=gpu_queue("cpu:1"))
    behind = [request.for_queue(run_id=f"run-{number}", queue=gpu_queue(ANY_GPU)) for number in range(8)]
    client.ask(first)
    wait_until(lambda: len(in_state(url, "doing")) == 1, 120, "the slow executor is busy")
    for queued in behind:
        client.ask(queued)
    # It holds what its slot and the runs ahead allow, and the other executor does the rest meanwhile.
    least = len(behind) - RUNS_AHEAD
    wait_until(lambda: len(in_state(url, "done")) >= least, 120, "the other executor does the rest")
    (settings.home / slow_executor.GATE).touch()
    answers = [client.wait(queued, on_event=lambda _line: None) for queued in (first, *behind)]
    answered_by = Counter(str(answer.result["executor"]).split("@")[0] for answer in answers)
    assert answered_by["cpu-0"] >= least
    assert answered_by["cpu-1"] == len(answers) - answered_by["cpu-0"] >= 1
    assert len({said(answer) for answer in answers}) == 1


def in_state(url: str, state: str) -> list[object]:
    with open_connection(url) as connection:
        return list(connection.execute("SELECT key FROM inference_requests WHERE state = %s", (state,)))


def said(answer: InferenceAnswer) -> str:
    return str(answer.result["transcript"])
