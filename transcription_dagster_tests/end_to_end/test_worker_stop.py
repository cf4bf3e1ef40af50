"""Single workers that are asked to stop, once or twice, in the middle of their work, or that stop to be renewed."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from transcription_dagster.queueing.health import WorkerStatus
from transcription_dagster_tests.faults import (
    NO_EMBEDDINGS,
    attempts_at,
    busy_executor,
    busy_run_worker,
    long_recording,
    unfinished_jobs,
)
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, running_system, wait_until

pytestmark = pytest.mark.system

JOBS = 6


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    home = tmp_path_factory.mktemp("home")
    with running_system(home, executors=1, run_workers=2, max_jobs_per_worker=str(JOBS), **NO_EMBEDDINGS) as system:
        yield system


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
    (recording,) = system.register([long_recording(tmp_path)])
    system.launch([recording])
    executor = busy_executor(system, recording)
    stop(system, executor, twice=False)
    wait_until(lambda: attempts_at(system, recording) == ["done"], 90, "the recording is finished")
    ended_well(system, executor)
    assert [run.status for run in system.finish([recording])] == ["SUCCESS"]


def test_an_executor_that_is_asked_twice_gives_its_recording_back(system: System, tmp_path: Path) -> None:
    (recording,) = system.register([long_recording(tmp_path)])
    system.launch([recording])
    executor = busy_executor(system, recording)
    stop(system, executor, twice=True)
    ended_well(system, executor)
    assert [run.status for run in system.finish([recording])] == ["SUCCESS"]
    assert attempts_at(system, recording) == ["the executor was stopped", "done"]


def test_a_run_worker_that_is_asked_to_stop_finishes_its_run(system: System, tmp_path: Path) -> None:
    (recording,) = system.register([long_recording(tmp_path)])
    run_id = system.launch([recording])[recording]
    worker = busy_run_worker(system, run_id)
    busy_executor(system, recording)
    stop(system, worker, twice=False)
    ended_well(system, worker)
    assert [(run.id, run.status) for run in system.finish([recording])] == [(run_id, "SUCCESS")]


def test_the_run_of_a_run_worker_that_is_asked_twice_is_done_by_another_and_not_transcribed_again(
    system: System, tmp_path: Path
) -> None:
    (recording,) = system.register([long_recording(tmp_path)])
    run_id = system.launch([recording])[recording]
    worker = busy_run_worker(system, run_id)
    busy_executor(system, recording)
    stop(system, worker, twice=True)
    ended_well(system, worker)
    wait_until(lambda: [run.id for run in system.runs_of([recording])] != [run_id], 60, "the run is tried again")
    assert [run.status for run in system.finish([recording])] == ["SUCCESS"]
    assert attempts_at(system, recording) == ["done"]


def test_workers_are_renewed_between_jobs_and_nothing_is_lost_by_it(system: System) -> None:
    before = {worker.pid for worker in system.pool().workers}
    recordings = system.register([DEMO_RECORDINGS[1]] * 2 * JOBS)
    system.launch(recordings)
    assert {run.status for run in system.finish(recordings, 240)} == {"SUCCESS"}
    assert {tuple(attempts_at(system, recording)) for recording in recordings} == {("done",)}
    wait_until(lambda: not unfinished_jobs(system), 15, "no job is left")
    wait_until(lambda: len(system.pool().alive("gpu")) == 1, 60, "the executor is back")
    after = system.pool().workers
    assert not before & {worker.pid for worker in after}
    assert all(worker.jobs <= JOBS and worker.model_loads <= 1 for worker in after)
