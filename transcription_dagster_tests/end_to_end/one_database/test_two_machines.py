"""A second machine, set up as in docs/operating.md: separate pids, host name and network, and a fresh home."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from transcription_dagster.pool.devices import GPU_TAG
from transcription_dagster_tests.faults import attempts_at, frozen, requests_of, unfinished_jobs
from transcription_dagster_tests.machines import another_machine, needs_namespaces
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, wait_until

pytestmark = [
    pytest.mark.system,
    pytest.mark.xdist_group("one database"),
    needs_namespaces,
]

HOST = "second-machine"
#: The commands of docs/operating.md, for a machine without a GPU.
COMMANDS = (("run-worker", "--slot", "1"), ("gpu-worker", "--gpu", "cpu:1"))


@pytest.fixture(scope="module")
def second_machine(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start the documented commands; yield the home."""
    folder = tmp_path_factory.mktemp("second")
    home = folder / "home"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TRANSCRIPTION_HOME": str(home),
        "TRANSCRIPTION_DATABASE_URL": system.url,
        "TRANSCRIPTION_STORE": system.settings.store_url,
        # Compiling Whisper's kernels again takes longer than the test.
        **{name: value for name, value in os.environ.items() if name == "NUMBA_CACHE_DIR"},
    }
    transcription = str(Path(sys.executable).parent / "transcription")
    with ExitStack() as processes:
        for command in COMMANDS:
            log = processes.enter_context((folder / f"{command[0]}.log").open("wb"))
            process = subprocess.Popen(
                [*another_machine(HOST), transcription, *command],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=log,
            )
            processes.callback(process.wait)
            processes.callback(process.kill)
        names = {f"run-1@{HOST}", f"cpu-1@{HOST}"}
        try:
            wait_until(
                lambda: names <= {worker.name for worker in system.pool().workers if worker.takes_work},
                240,
                "both workers of the second machine take work",
            )
        except BaseException as error:
            for log in folder.glob("*.log"):
                error.add_note(log.read_text()[-2000:])
            raise
        yield home


def test_the_second_machine_shares_runs_and_transcribes(system: System, second_machine: Path) -> None:
    recordings = system.register([*DEMO_RECORDINGS[:2]])
    (own_run_worker,) = (worker for worker in system.pool().alive("run") if not worker.name.endswith(f"@{HOST}"))
    # The frozen run worker leaves the second machine one run; the tag sends both recordings to its executor.
    with frozen(own_run_worker):
        runs = system.launch(recordings, {GPU_TAG: "cpu:1"})
        wait_until(lambda: started_on(system, HOST, runs.values()), 120, "the second machine has a run")
    assert {run.status for run in system.finish(recordings, 240)} == {"SUCCESS"}
    assert {tuple(attempts_at(system, recording)) for recording in recordings} == {("done",)}
    executors = {request["attempts"][-1]["executor"] for request in requests_of(system, recordings)}
    assert executors == {f"cpu-1@{HOST}"}
    wait_until(lambda: not unfinished_jobs(system), 120, "no job is left")


def started_on(system: System, host: str, runs: Collection[str]) -> bool:
    """Return whether the machine's run worker executes, or has executed, one of these runs."""
    worker = system.worker(f"run-1@{host}")
    return worker is not None and (worker.recording in runs or worker.jobs > 0)


def test_the_second_home_has_dagsters_files_and_no_data_of_the_pool(second_machine: Path) -> None:
    files = {path.relative_to(second_machine).as_posix() for path in second_machine.rglob("*") if path.is_file()}
    assert "dagster/dagster.yaml" in files
    assert not [name for name in files if name.endswith(".db")]
    assert not [name for name in files if name.startswith("scratch/")]
