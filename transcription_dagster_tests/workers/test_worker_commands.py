"""The commands for a second machine, in separate namespaces with a fresh home, on a database without a stack."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from transcription_dagster.audio.decode import normalise
from transcription_dagster.database.connection import open_database
from transcription_dagster.model import SpeechOptions
from transcription_dagster.pool.connection import job_app, open_connection
from transcription_dagster.pool.inference_client import InferenceClient
from transcription_dagster.pool.inference_requests import TranscriptionRequest
from transcription_dagster.pool.run_queue import EXECUTE_RUN_TASK, RUNS_QUEUE, run_job_key
from transcription_dagster.pool.status import WorkerStatus, read_pool
from transcription_dagster.settings import load_settings
from transcription_dagster.shared_settings import push
from transcription_dagster.store.object_store import ObjectStore, object_key
from transcription_dagster_tests.machines import another_machine, needs_namespaces
from transcription_dagster_tests.postgres import cloned_database
from transcription_dagster_tests.system import CHECKPOINT, DEMO_RECORDINGS, environment_of, wait_until

pytestmark = [needs_namespaces, pytest.mark.slow]

HOST = "second-machine"
RECORDING = "00000000-0000-4000-8000-000000000000"


class SecondMachine:
    """A database, a store, and a machine that only knows these two."""

    def __init__(self, url: str, folder: Path, processes: ExitStack) -> None:
        self.url, self.folder, self._processes = url, folder, processes
        self.home = folder / "home"
        self.store = load_settings().store_url

    def start(self, *command: str, **settings: str) -> None:
        """Start a command of the program on the second machine."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TRANSCRIPTION_HOME": str(self.home),
            "TRANSCRIPTION_DATABASE_URL": self.url,
            "TRANSCRIPTION_STORE": self.store,
            **settings,
        }
        log = self._processes.enter_context(self.log.open("ab"))
        transcription = str(Path(sys.executable).parent / "transcription")
        process = subprocess.Popen(
            [*another_machine(HOST), transcription, *command], cwd=self.folder, env=environment, stdout=log, stderr=log
        )
        self._processes.callback(process.wait)
        self._processes.callback(process.kill)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def worker(self, name: str) -> WorkerStatus | None:
        workers = read_pool(self.url, stale_seconds=60).workers
        return next((worker for worker in workers if worker.name == f"{name}@{HOST}"), None)

    def until(self, condition: Any, what: str) -> None:
        try:
            wait_until(condition, 180, what)
        except BaseException as error:
            error.add_note(self.log.read_text()[-3000:])
            raise

    def until_state(self, name: str, state: str) -> WorkerStatus:
        def reached() -> bool:
            worker = self.worker(name)
            return worker is not None and worker.state == state

        self.until(reached, f"{name} is {state}")
        worker = self.worker(name)
        assert worker is not None
        return worker


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecondMachine]:
    for name, value in environment_of(tmp_path / "main", executors=1, embedder="none", refinement="off").items():
        monkeypatch.setenv(name, value)
    (tmp_path / "second").mkdir()
    with cloned_database() as url, ExitStack() as processes:
        monkeypatch.setenv("TRANSCRIPTION_DATABASE_URL", url)
        engine = open_database(url)
        push(load_settings(), engine, has_credentials=False)
        engine.dispose()
        yield SecondMachine(url, tmp_path / "second", processes)


def test_a_run_worker_on_a_fresh_home_does_not_finish_unknown_runs(machine: SecondMachine) -> None:
    machine.start("run-worker", "--slot", "1")
    machine.until_state("run-1", "idle")
    assert (machine.home / "dagster" / "dagster.yaml").is_file()
    run_id = "11111111-1111-4111-8111-111111111111"
    with open_connection(machine.url) as connection:
        key = run_job_key(run_id)
        task = job_app.configure_task(
            EXECUTE_RUN_TASK, allow_unknown=True, queue=RUNS_QUEUE, queueing_lock=key, lock=key, connection=connection
        )
        task.defer(run_id=run_id)

        def result() -> list[str]:
            rows = connection.execute(
                "SELECT status::text FROM procrastinate_jobs"
                " WHERE queueing_lock = %s AND status NOT IN ('todo', 'doing')",
                (key,),
            )
            return [row["status"] for row in rows]

        machine.until(result, "the job has ended")
        assert result() == ["failed"]
    output = f"the run {run_id} is not in Dagster's storage: it was deleted after it was queued"
    machine.until(
        lambda: (worker := machine.worker("run-1")) is not None and worker.last_error == output, "it says why"
    )


def test_an_executor_with_a_broken_scratch_folder_requeues_its_request(machine: SecondMachine, tmp_path: Path) -> None:
    request = a_request(tmp_path, machine.store)
    machine.start("gpu-worker", "--gpu", "cpu:0")
    machine.until_state("cpu-0", "idle")
    scratch = machine.home / "scratch" / f"cpu-0@{HOST}"
    scratch.rmdir()
    scratch.touch()
    client = InferenceClient(machine.url)
    queued = request.for_queue(run_id="a-run", queue="gpu")
    client.ask(queued)
    worker = machine.until_state("cpu-0", "unfit")
    assert worker.last_error == f"the scratch folder {scratch} cannot be used: File exists"
    scratch.unlink()
    lines: list[str] = []
    outcome = client.wait(queued, on_event=lines.append)
    assert [attempt["ended"] for attempt in outcome.attempts] == [
        f"the executor cannot work: the scratch folder {scratch} cannot be used: File exists",
        "done",
    ]
    assert any("cannot work" in line for line in lines)


def a_request(folder: Path, store: str) -> TranscriptionRequest:
    flac = folder / "audio.flac"
    facts = normalise(DEMO_RECORDINGS[0], flac, max_seconds=60)
    key = object_key(RECORDING, "audio.flac")
    ObjectStore(store).put_file(key, flac)
    options = SpeechOptions(str(CHECKPOINT), language="en", temperatures=(0.0,))
    return TranscriptionRequest(RECORDING, key, facts.source_sha256, facts.seconds, options)
