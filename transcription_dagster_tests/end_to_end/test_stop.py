"""A stack and single workers that are asked to stop, once or twice, in the middle of their work, or to be renewed."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from transcription_dagster.pool.state import WorkerStatus
from transcription_dagster.stack.stack import running
from transcription_dagster_tests.faults import (
    NO_EMBEDDINGS,
    attempts_at,
    busy_executor,
    busy_run_worker,
    long_recording,
    unfinished_jobs,
)
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, running_system, wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("stacks of their own")]

JOBS = 5
SHORT = DEMO_RECORDINGS[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def system(home: Path) -> Iterator[System]:
    with stack(home, run_workers=2) as system:
        yield system


@pytest.fixture(scope="module")
def left(system: System, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Recordings that were under way when the first stack was asked twice to stop."""
    recordings = two_at_work(system, tmp_path_factory.mktemp("left"))
    stop_stack(system, abort=True)
    return recordings


@pytest.fixture(scope="module")
def next_system(home: Path, left: list[str]) -> Iterator[System]:
    """The stack that was started after that on the same home; it executes one run at a time."""
    with stack(home, run_workers=1) as system:
        yield system


def stack(home: Path, *, run_workers: int) -> AbstractContextManager[System]:
    return running_system(home, executors=1, run_workers=run_workers, max_jobs_per_worker=str(JOBS), **NO_EMBEDDINGS)


def two_at_work(system: System, folder: Path) -> list[str]:
    """Launch the runs of two recordings, and wait until an executor is in the middle of one of them."""
    # A short one is done before anybody has seen the executor busy with it.
    recordings = system.register([long_recording(folder)] * 2)
    system.launch(recordings)
    wait_until(
        lambda: any(worker.recording in recordings for worker in system.pool().alive("gpu")), 120, "an executor is busy"
    )
    return recordings


def stop_stack(system: System, *, abort: bool) -> None:
    system.stack.stop(abort=lambda: abort)
    assert running(system.settings) is None


def having(system: System, uuids: Sequence[str], name: str) -> set[str]:
    return {uuid for uuid in uuids if system.file(uuid, name).exists()}


@dataclass(frozen=True)
class AtWork:
    """A recording that is being transcribed, and who is on it."""

    recording: str
    run_id: str
    executor: WorkerStatus
    run_worker: WorkerStatus


def at_work(system: System, folder: Path, *, seconds: int = 120) -> AtWork:
    """Launch the run of a recording of `seconds`, and wait until an executor is in the middle of it."""
    (recording,) = system.register([long_recording(folder, seconds=seconds)])
    run_id = system.launch([recording])[recording]
    run_worker = busy_run_worker(system, run_id)
    return AtWork(recording, run_id, busy_executor(system, recording), run_worker)


def stop(system: System, worker: WorkerStatus, *, twice: bool) -> None:
    process = psutil.Process(worker.pid)
    process.send_signal(signal.SIGTERM)
    if twice:
        # Two of a signal at once are one.
        wait_until(lambda: state_of(system, worker) == "draining", 20, "the worker has heard the first signal")
        process.send_signal(signal.SIGTERM)


def state_of(system: System, worker: WorkerStatus) -> str | None:
    now = system.worker(worker.name)
    return now.state if now else None


def ended_well(system: System, worker: WorkerStatus) -> None:
    """Wait until the worker's process is gone and another is in its slot; it has to have ended with 0."""

    def renewed() -> bool:
        return any(one.name == worker.name and one.pid != worker.pid for one in system.pool().alive(worker.kind))

    wait_until(renewed, 90, f"another process has taken the slot of {worker.name}")
    program = {"gpu": "gpu-worker-cpu-0"}.get(worker.kind, f"run-worker-{worker.name.split('@')[0].split('-')[1]}")
    log = (system.settings.home / "logs" / "supervisord.log").read_text()
    # Whether it was expected is a matter of how long the process had run, not of how it ended.
    assert re.findall(rf"exited: {program} \((exit status \d+|terminated by \w+)", log)[-1] == "exit status 0"


def test_an_executor_that_is_asked_to_stop_finishes_its_recording(system: System, tmp_path: Path) -> None:
    work = at_work(system, tmp_path)
    stop(system, work.executor, twice=False)
    wait_until(lambda: attempts_at(system, work.recording) == ["done"], 90, "the recording is finished")
    ended_well(system, work.executor)
    assert [run.status for run in system.finish([work.recording])] == ["SUCCESS"]


def test_an_executor_that_is_asked_twice_gives_its_recording_back(system: System, tmp_path: Path) -> None:
    work = at_work(system, tmp_path, seconds=240)
    stop(system, work.executor, twice=True)
    ended_well(system, work.executor)
    assert [run.status for run in system.finish([work.recording])] == ["SUCCESS"]
    assert attempts_at(system, work.recording) == ["the executor was stopped", "done"]


def test_a_run_worker_that_is_asked_to_stop_finishes_its_run(system: System, tmp_path: Path) -> None:
    work = at_work(system, tmp_path)
    stop(system, work.run_worker, twice=False)
    ended_well(system, work.run_worker)
    assert [(run.id, run.status) for run in system.finish([work.recording])] == [(work.run_id, "SUCCESS")]


def test_the_run_of_a_run_worker_that_is_asked_twice_is_done_by_another_and_not_transcribed_again(
    system: System, tmp_path: Path
) -> None:
    work = at_work(system, tmp_path)
    stop(system, work.run_worker, twice=True)
    ended_well(system, work.run_worker)
    wait_until(
        lambda: [run.id for run in system.runs_of([work.recording])] != [work.run_id], 60, "the run is tried again"
    )
    assert [run.status for run in system.finish([work.recording])] == ["SUCCESS"]
    assert attempts_at(system, work.recording) == ["done"]


def test_workers_are_renewed_between_jobs_and_nothing_is_lost_by_it(system: System) -> None:
    before = {worker.pid for worker in system.pool().workers}
    recordings = system.register([SHORT] * 2 * JOBS)
    system.launch(recordings)
    assert {run.status for run in system.finish(recordings, 240)} == {"SUCCESS"}
    assert {tuple(attempts_at(system, recording)) for recording in recordings} == {("done",)}
    wait_until(lambda: not unfinished_jobs(system), 15, "no job is left")
    wait_until(lambda: len(system.pool().alive("gpu")) == 1, 60, "the executor is back")
    after = system.pool().workers
    assert not before & {worker.pid for worker in after}
    assert all(worker.jobs <= JOBS and worker.model_loads <= 1 for worker in after)


def test_a_stack_that_is_asked_twice_leaves_what_is_under_way(system: System, left: list[str]) -> None:
    assert having(system, left, "transcript.json") == set()


def test_after_the_next_start_everything_that_was_left_is_done(next_system: System, left: list[str]) -> None:
    assert {run.status for run in next_system.finish(left)} == {"SUCCESS"}
    assert having(next_system, left, "captions.vtt") == set(left)


def test_a_stack_that_is_asked_to_stop_finishes_what_is_under_way_and_begins_nothing_else(
    next_system: System, tmp_path: Path
) -> None:
    recordings = two_at_work(next_system, tmp_path)
    stop_stack(next_system, abort=False)
    transcribed = having(next_system, recordings, "transcript.json")
    assert len(transcribed) == 1
    assert having(next_system, recordings, "captions.vtt") == transcribed
