"""Stopping a stack or single workers, with one or two signals, in the middle of their work; and recycling workers."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import pytest

from transcription_dagster.pool.status import WorkerStatus
from transcription_dagster.stack.stack import running
from transcription_dagster_tests.faults import (
    NO_EMBEDDINGS,
    attempts_at,
    busy_executor,
    busy_run_worker,
    frozen,
    is_pending,
    long_recording,
    unfinished_jobs,
)
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, running_system, wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("stops")]

#: Jobs after which a worker is recycled.
JOBS = 3
SHORT = DEMO_RECORDINGS[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def system(home: Path) -> Iterator[System]:
    with stack(home, max_jobs_per_worker=str(JOBS)) as system:
        yield system


@pytest.fixture(scope="module")
def aborted(system: System, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Recordings in progress and waiting when the first stack received the second stop signal."""
    return stop_at_work(system, tmp_path_factory.mktemp("left"), twice=True, seconds=360)


@pytest.fixture(scope="module")
def next_system(home: Path, aborted: list[str]) -> Iterator[System]:
    """The stack started next on the same home."""
    # No executor may end by its number of jobs while the stack stops: the runs would return to the queue.
    with stack(home, max_jobs_per_worker="0") as system:
        yield system


def stack(home: Path, *, max_jobs_per_worker: str) -> AbstractContextManager[System]:
    return running_system(home, executors=1, run_workers=1, max_jobs_per_worker=max_jobs_per_worker, **NO_EMBEDDINGS)


def stop_at_work(system: System, folder: Path, *, twice: bool, seconds: int) -> list[str]:
    """Stop the stack, with one or two signals, while its executor works on a recording of `seconds` and another waits.

    The daemon and the run worker are stopped before the executor, which must not finish its work in the meantime.
    """
    at_work, waiting = system.register([long_recording(folder, seconds=seconds), SHORT])
    system.launch([at_work])
    busy_executor(system, at_work)
    system.launch([waiting])
    system.stack.stop(abort=lambda: twice)
    assert running(system.settings) is None
    return [at_work, waiting]


def having(system: System, uuids: Sequence[str], name: str) -> set[str]:
    return {uuid for uuid in uuids if system.file(uuid, name).exists()}


@dataclass(frozen=True)
class AtWork:
    """A recording that is being transcribed, and its workers."""

    recording: str
    run_id: str
    executor: WorkerStatus
    run_worker: WorkerStatus


@contextmanager
def at_work(system: System, folder: Path) -> Iterator[AtWork]:
    """Launch a recording's run; during the block, its executor is frozen in the middle of it."""
    (recording,) = system.register([long_recording(folder)])
    run_id = system.launch([recording])[recording]
    run_worker, executor = busy_run_worker(system, run_id), busy_executor(system, recording)
    with frozen(executor):
        yield AtWork(recording, run_id, executor, run_worker)


def stop(worker: WorkerStatus) -> None:
    psutil.Process(worker.pid).send_signal(signal.SIGTERM)


def stop_again(worker: WorkerStatus) -> None:
    """Send a worker the second stop signal after it has handled the first; two pending signals would be merged."""
    process = psutil.Process(worker.pid)
    hear(process)
    process.send_signal(signal.SIGTERM)


def hear(process: psutil.Process) -> None:
    wait_until(lambda: not is_pending(process, signal.SIGTERM), 120, "the signal to stop is heard", every=0.01)


def ended_well(system: System, worker: WorkerStatus) -> None:
    """Wait until the worker's process is gone and another one has its slot; it must have exited with 0."""

    def renewed() -> bool:
        return any(
            successor.name == worker.name and successor.pid != worker.pid
            for successor in system.pool().alive(worker.kind)
        )

    wait_until(renewed, 120, f"another process has taken the slot of {worker.name}")
    program = {"gpu": "gpu-worker-cpu-0"}.get(worker.kind, f"run-worker-{worker.name.split('@')[0].split('-')[1]}")
    log = (system.settings.home / "logs" / "supervisord.log").read_text()
    # Whether supervisord expected the exit depends on the process's run time, not on its exit code.
    assert re.findall(rf"exited: {program} \((exit status \d+|terminated by \w+)", log)[-1] == "exit status 0"


def test_a_stopping_executor_finishes_its_recording(system: System, tmp_path: Path) -> None:
    with at_work(system, tmp_path) as work:
        stop(work.executor)
    wait_until(lambda: attempts_at(system, work.recording) == ["done"], 120, "the recording is finished")
    ended_well(system, work.executor)
    assert [run.status for run in system.finish([work.recording])] == ["SUCCESS"]


def test_a_second_stop_signal_returns_the_executors_recording(system: System, tmp_path: Path) -> None:
    with at_work(system, tmp_path) as work:
        stop(work.executor)
    stop_again(work.executor)
    ended_well(system, work.executor)
    assert [run.status for run in system.finish([work.recording])] == ["SUCCESS"]
    assert attempts_at(system, work.recording) == ["the executor was stopped", "done"]


def test_a_stopping_run_worker_finishes_its_run(system: System, tmp_path: Path) -> None:
    with at_work(system, tmp_path) as work:
        stop(work.run_worker)
    ended_well(system, work.run_worker)
    assert [(run.id, run.status) for run in system.finish([work.recording])] == [(work.run_id, "SUCCESS")]


def test_an_aborted_run_workers_run_continues_without_transcribing_again(system: System, tmp_path: Path) -> None:
    with at_work(system, tmp_path) as work:
        stop(work.run_worker)
        stop_again(work.run_worker)
    ended_well(system, work.run_worker)
    wait_until(
        lambda: [run.id for run in system.runs_of([work.recording])] != [work.run_id], 120, "the run is tried again"
    )
    assert [run.status for run in system.finish([work.recording])] == ["SUCCESS"]
    assert attempts_at(system, work.recording) == ["done"]


# `test_a_stopping_run_worker_finishes_its_run` and `workers/test_pool_worker.py` test the parts of this.
@pytest.mark.exhaustive
def test_recycling_workers_between_jobs_loses_nothing(system: System) -> None:
    before = {worker.pid for worker in system.pool().workers}

    def renewed(kind: Literal["gpu", "run"]) -> bool:
        return any(worker.pid not in before for worker in system.pool().alive(kind))

    recordings = system.register([SHORT] * JOBS)
    system.launch(recordings)
    assert {run.status for run in system.finish(recordings, 240)} == {"SUCCESS"}
    assert {tuple(attempts_at(system, recording)) for recording in recordings} == {("done",)}
    wait_until(lambda: not unfinished_jobs(system), 120, "no job is left")
    wait_until(lambda: renewed("gpu"), 120, "the executor is recycled")
    wait_until(lambda: renewed("run"), 120, "the run worker is recycled")
    assert all(worker.jobs <= JOBS and worker.model_loads <= 1 for worker in system.pool().workers)


def test_a_second_stop_signal_aborts_the_stacks_work(system: System, aborted: list[str]) -> None:
    assert having(system, aborted, "transcript.json") == set()


def test_the_next_start_completes_aborted_work(next_system: System, aborted: list[str]) -> None:
    assert {run.status for run in next_system.finish(aborted)} == {"SUCCESS"}
    assert having(next_system, aborted, "captions.vtt") == set(aborted)


def test_a_stopping_stack_finishes_its_work_and_starts_nothing(next_system: System, tmp_path: Path) -> None:
    at_work, waiting = stop_at_work(next_system, tmp_path, twice=False, seconds=240)
    assert having(next_system, [at_work, waiting], "transcript.json") == {at_work}
    assert having(next_system, [at_work, waiting], "captions.vtt") == {at_work}
