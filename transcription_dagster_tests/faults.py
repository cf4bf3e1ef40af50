"""Faults for tests of the whole system: killed processes, a stopped Postgres, slow recordings."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.pool.connection import open_connection
from transcription_dagster.pool.status import WorkerStatus
from transcription_dagster.stack.home import runtime_folder
from transcription_dagster.stack.postgres import answers
from transcription_dagster.stack.programs import POSTGRES
from transcription_dagster.stack.supervisor import Supervisor
from transcription_dagster_tests.corpus import RATE, write_wav
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, wait_until

#: Settings of systems without search: loading the embedding model would take longer than the recordings.
NO_EMBEDDINGS: Mapping[str, Any] = {"embedder": "none"}


def long_recording(folder: Path, *, seconds: int = 120) -> Path:
    """Return a recording that is long enough for faults during its transcription: the demo's recordings in sequence.

    Repeating a single one would count as a loop, and be transcribed again and again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return write_wav(folder / f"{seconds}.wav", np.resize(_speech(), seconds * RATE))


@cache
def _speech() -> np.ndarray:
    return np.concatenate([block for path in DEMO_RECORDINGS for block in read_blocks(path, 600)])


def busy_executor(system: System, recording: str, seconds: float = 120) -> WorkerStatus:
    """Wait until an executor is in the middle of `recording`; return the executor."""

    def in_the_middle() -> bool:
        return any(progress_of(worker, recording) for worker in system.pool().alive("gpu"))

    wait_until(in_the_middle, seconds, f"an executor is in the middle of {recording}")
    return next(worker for worker in system.pool().workers if progress_of(worker, recording))


def progress_of(executor: WorkerStatus, recording: str) -> float | None:
    """Return an executor's progress on a recording; None if it does not work on it."""
    under_way = executor.work.recordings if executor.work else ()
    return next((job.progress for job in under_way if job.recording == recording), None)


def busy_run_worker(system: System, run_id: str, seconds: float = 120) -> WorkerStatus:
    """Wait until a run worker executes the run; return the worker."""

    def taken() -> bool:
        return any(worker.recording == run_id for worker in system.pool().alive("run"))

    wait_until(taken, seconds, f"a run worker has taken {run_id}")
    return next(worker for worker in system.pool().workers if worker.recording == run_id)


@contextmanager
def frozen(worker: WorkerStatus) -> Iterator[psutil.Process]:
    """Stop a worker's process during the block, so that it finishes nothing, however fast the machine.

    Keep the block short: a worker without heartbeats counts as dead.
    """
    process = psutil.Process(worker.pid)
    process.suspend()
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def is_pending(process: psutil.Process, number: signal.Signals) -> bool:
    """Return whether a signal to the process is pending: a second one would be lost."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    masks = [int(mask, 16) for mask in re.findall(r"^(?:SigPnd|ShdPnd):\s*(\w+)$", status, re.MULTILINE)]
    return any(mask >> (number - 1) & 1 for mask in masks)


def kill(worker: WorkerStatus) -> psutil.Process:
    """Kill a worker's process, as the kernel does when memory is short."""
    process = psutil.Process(worker.pid)
    process.send_signal(signal.SIGKILL)
    return process


@contextmanager
def killing_executors_of(system: System, recording: str) -> Iterator[list[str]]:
    """Repeatedly kill every executor that transcribes `recording`; yield the names of the killed."""
    killed: list[str] = []
    over = threading.Event()

    def watch() -> None:
        pids: set[int] = set()
        while not over.wait(0.1):
            # Not an executor that diarizes it after its transcription has failed.
            at_work = [
                one["executor"]
                for each in requests_of(system, [recording])
                for one in each["attempts"]
                if not one["ended"]
            ]
            for worker in system.pool().workers:
                if worker.name in at_work and progress_of(worker, recording) is not None and worker.pid not in pids:
                    pids.add(worker.pid)
                    killed.append(worker.name)
                    kill(worker)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def requests_of(system: System, recordings: Sequence[str]) -> list[dict[str, Any]]:
    """Return the transcription requests of these recordings, oldest first."""
    with open_connection(system.url) as connection:
        return list(
            connection.execute(
                "SELECT * FROM inference_requests WHERE recording = ANY(%s) AND task = 'transcribe'"
                " ORDER BY created_at",
                (list(recordings),),
            )
        )


def attempts_at(system: System, recording: str) -> list[str | None]:
    """Return the outcome of each transcription attempt, over all requests; None if it has not ended."""
    return [attempt["ended"] for request in requests_of(system, [recording]) for attempt in request["attempts"]]


def unfinished_jobs(system: System) -> list[dict[str, Any]]:
    """Return waiting and running jobs and requests of all queues."""
    with open_connection(system.url) as connection:
        return list(
            connection.execute(
                "SELECT queue_name, task_name, status::text FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
                " UNION ALL SELECT queue, task, state FROM inference_requests WHERE state IN ('queued', 'doing')"
            )
        )


@contextmanager
def postgres_away(system: System) -> Iterator[None]:
    """Stop the embedded Postgres through supervisord, as an administrator does, and start it after the block."""
    control = Supervisor(runtime_folder(system.settings.home))
    control._call("stopProcessGroup", POSTGRES, True)
    try:
        yield
    finally:
        control.start(POSTGRES)
        wait_until(lambda: answers(system.url), 120, "Postgres is back")
