"""The main job on the real system: a backfill of the demo's recordings on executors that load their model once."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import whisper
from rapidfuzz.distance import Levenshtein

from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.dagster_api.values import Run
from transcription_dagster.database.connection import open_database
from transcription_dagster.database.recordings import registered_sources
from transcription_dagster.sources.directory import file_etag
from transcription_dagster.speakers.engine import NOT_INSTALLED
from transcription_dagster.transcripts.amazon_json import read_transcript
from transcription_dagster_tests.faults import requests_of
from transcription_dagster_tests.processes import below, of_each
from transcription_dagster_tests.system import CHECKPOINT, DEMO_RECORDINGS, REFERENCES, System, wait_until
from transcription_dagster_tests.whisper.helpers import are_laid_on_speech

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("one stack")]

#: Seconds; much less than a Python process takes to start.
_POLL_SECONDS = 0.2

ASSETS = ("audio", "transcript", "conversation", "transcript_txt", "captions_srt", "captions_vtt")


class ProcessWatch:
    """Records every Python process that the stack starts in the meantime."""

    def __init__(self, supervisor: int) -> None:
        self._supervisor = supervisor
        self._over = threading.Event()
        self.before = self._look()
        self.seen = set(self.before)
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> ProcessWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            self.seen |= self._look()

    def _look(self) -> set[tuple[int, float]]:
        processes = of_each(
            below(self._supervisor), lambda process: (process.name(), (process.pid, process.create_time()))
        )
        # Postgres has a process for each connection.
        return {identity for name, identity in processes if "python" in name}


@dataclass(frozen=True)
class Backfill:
    """The finished runs of the demo's recordings, the shortest first."""

    uuids: list[str]
    runs: list[Run]
    watch: ProcessWatch


@pytest.fixture(scope="module")
def backfill(system: System) -> Backfill:
    uuids = system.register(DEMO_RECORDINGS)
    with ProcessWatch(system.stack.pid) as watch:
        system.backfill(uuids, ASSETS)
        runs = system.finish(uuids, 500)
    return Backfill(uuids, runs, watch)


def test_a_backfill_loads_no_model_again_and_starts_no_process(system: System, backfill: Backfill) -> None:
    assert [run.status for run in backfill.runs] == ["SUCCESS"] * len(DEMO_RECORDINGS)
    assert backfill.watch.seen == backfill.watch.before
    executors = [worker for worker in system.pool().workers if worker.kind == "gpu"]
    assert [worker.model_loads for worker in executors] == [1, 1]
    used = [request["attempts"][-1]["executor"] for request in requests_of(system, backfill.uuids)]
    assert len(used) == len(DEMO_RECORDINGS)
    assert set(used) <= {worker.name for worker in executors}
    # Work for earlier tests counts too.
    wait_until(lambda: jobs_served(system) >= len(DEMO_RECORDINGS), 120, "the executors report their jobs")
    # The coordinator tagged every run for the GPU.
    assert all(run.tags.get("transcription/gpu") == "any" for run in backfill.runs)


def test_the_pool_returns_the_words_of_the_model(system: System, backfill: Backfill) -> None:
    model = whisper.load_model(str(CHECKPOINT))
    torch.set_num_threads(1)
    # The shortest two; the engine's tests compare longer ones.
    for recording in backfill.uuids[:2]:
        (samples,) = read_blocks(system.file(recording, "audio.flac"), 600)
        expected: dict[str, Any] = model.transcribe(
            samples, temperature=0.0, language="en", condition_on_previous_text=False, word_timestamps=True, fp16=False
        )
        transcript = read_transcript(system.file(recording, "transcript.json").read_bytes())
        whispers = [word for segment in expected["segments"] for word in segment["words"]]
        assert [word.text for word in transcript.words] == [word["word"].strip() for word in whispers]
        assert are_laid_on_speech(transcript.words, [(word["start"], word["end"]) for word in whispers])


def test_the_pool_transcribes_what_was_said(system: System, backfill: Backfill) -> None:
    references = {reference["file"]: reference for reference in REFERENCES}
    errors: dict[str, int] = {}
    words = 0
    for recording, path in zip(backfill.uuids, DEMO_RECORDINGS, strict=False):
        spoken = references[path.name]["text"].split()
        transcribed = system.file(recording, "transcript.txt").read_text().split()
        errors[path.suffix] = errors.get(path.suffix, 0) + Levenshtein.distance(transcribed, spoken)
        words += len(spoken)
    # The checkpoint's own error rate: 0.015 to 0.02, depending on the machine's rounding. Most errors are in the noisy
    # Opus recording, where one sample at an edge between two sentences decides.
    assert sum(errors.values()) / words < 0.025, errors
    assert errors.pop(".webm") <= 10
    assert sum(errors.values()) <= 4, errors


def test_the_answers_of_runs_that_succeeded_are_released(system: System, backfill: Backfill) -> None:
    def kept() -> list[str]:
        return [request["key"] for request in requests_of(system, backfill.uuids) if request["result"] is not None]

    wait_until(lambda: not kept(), 120, "the answers of every run are released")


@dataclass(frozen=True)
class Mixed:
    """The whole job's runs, which were launched together: of a recording, a text, and a file that is not there."""

    good: str
    text: str
    missing: str
    #: Run ids by recording.
    runs: dict[str, str]


@pytest.fixture(scope="module")
def mixed(system: System, tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    folder = tmp_path_factory.mktemp("mixed")
    notes = folder / "notes.wav"
    notes.write_text("this is not audio")
    good, text, missing = system.register([DEMO_RECORDINGS[0], notes, folder / "missing.wav"])
    runs = system.launch([good, text, missing])
    system.finish([good, text, missing])
    return Mixed(good, text, missing, runs)


@pytest.fixture(scope="module")
def published(mixed: Mixed) -> str:
    """Provide a recording that the whole job has processed."""
    return mixed.good


def test_results_are_in_the_store_under_their_names(system: System, published: str) -> None:
    files = sorted(path.name for path in system.file(published, "").iterdir())
    names = {
        "audio.flac",
        "transcript.json",
        "transcript.txt",
        "captions.srt",
        "captions.vtt",
        "speakers.json",
        "conversation.json",
    }
    assert names <= set(files)
    # No diarization models are installed: the executor reports what to do, and the run succeeds.
    assert json.loads(system.file(published, "speakers.json").read_text())["skipped"] == NOT_INSTALLED
    assert not [name for name in files if name.startswith(".")]


def test_the_transcribed_version_is_recorded_for_sensors(system: System, published: str) -> None:
    engine = open_database(system.url)
    try:
        assert registered_sources(engine, [published])[published].etag == file_etag(DEMO_RECORDINGS[0].stat())
    finally:
        engine.dispose()


def test_an_unusable_recording_fails_with_its_reason_and_others_continue(system: System, mixed: Mixed) -> None:
    statuses = {run.partition: run.status for run in system.runs_of([*mixed.runs])}
    assert statuses == {mixed.good: "SUCCESS", mixed.text: "FAILURE", mixed.missing: "FAILURE"}
    missing, text = (system.log_of(mixed.runs[key]) for key in (mixed.missing, mixed.text))
    assert any("missing.wav" in line and "does not exist" in line for line in missing)
    assert any("not" in line and "audio" in line for line in text)


def jobs_served(system: System) -> int:
    return sum(worker.jobs for worker in system.pool().workers if worker.kind == "gpu")
