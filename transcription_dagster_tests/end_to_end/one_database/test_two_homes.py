"""Two homes on one database: one stack, one daemon, and the same settings for every worker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from transcription_dagster.dagster_api.values import SETTINGS_TAG
from transcription_dagster.database import daemon_lock, settings_documents
from transcription_dagster.database.connection import open_database
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("one database")]

CODE_VERSION = '{ assetNodes(assetKeys: [{path: ["transcript"]}]) { opVersion } }'


class SecondHome:
    """A machine that only knows the database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TRANSCRIPTION_")}
        self._environment = {**clean, "TRANSCRIPTION_HOME": str(folder), "TRANSCRIPTION_DATABASE_URL": url}

    def command(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the program to its end."""
        return subprocess.run(
            self._program(arguments),
            env=self._with(settings),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    @contextmanager
    def worker(self, *arguments: str, prefix: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
        """Start a worker, and end it after the block if it still runs."""
        command = [*prefix, *self._program(arguments)]
        with subprocess.Popen(command, env=self._environment, cwd=self.folder, text=True) as process:
            try:
                yield process
            finally:
                process.terminate()

    def _program(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "transcription_dagster", *arguments]

    def _with(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {**self._environment, **{f"TRANSCRIPTION_{name.upper()}": value for name, value in settings.items()}}


@pytest.fixture
def second(system: System, tmp_path: Path) -> SecondHome:
    return SecondHome(tmp_path, system.url)


def settings_version(system: System) -> int:
    engine = open_database(system.url)
    version = settings_documents.current_version(engine)
    engine.dispose()
    assert version is not None
    return version


def workers(system: System) -> tuple[int, int]:
    """The numbers of executors and run workers."""
    pool = system.pool()
    return len(pool.alive("gpu")), len(pool.alive("run"))


def test_a_second_stack_is_refused_with_the_address_of_the_first(system: System, second: SecondHome) -> None:
    engine = open_database(system.url)
    holder = daemon_lock.holder(engine)
    engine.dispose()
    assert holder is not None
    assert holder.url == system.stack.url
    refused = second.command("up", "--gpus", "none", "--port", "0")
    assert refused.returncode == 1
    assert f"the UI at {system.stack.url}" in refused.stderr
    assert system.stack.alive()
    assert not (second.folder / "stack.json").exists()


@pytest.mark.parametrize("worker", [("gpu-worker", "--gpu", "cpu:5"), ("run-worker", "--slot", "second")])
def test_a_worker_with_contradicting_settings_names_them_and_refuses_to_start(
    system: System, second: SecondHome, worker: tuple[str, ...]
) -> None:
    refused = second.command(*worker, model="large-v3", language="en", insights="comprehend")
    assert refused.returncode == 1
    assert "TRANSCRIPTION_MODEL: large-v3 here, bulletin.pt (SHA-256" in refused.stderr
    assert "TRANSCRIPTION_INSIGHTS: comprehend here, local in the database" in refused.stderr
    assert "TRANSCRIPTION_LANGUAGE" not in refused.stderr


def test_a_batch_uses_the_running_stack(system: System, second: SecondHome) -> None:
    uuid = "00000000-0000-4000-8000-0000000000aa"
    worklist = second.folder / "list.json"
    worklist.write_text(json.dumps([{"uuid": uuid, "source": str(DEMO_RECORDINGS[0])}]))
    batch = second.command("batch", str(worklist))
    assert batch.returncode == 0, batch.stderr
    assert f"Using the stack of this database, on {os.uname().nodename}: {system.stack.url}" in batch.stdout
    assert json.loads(worklist.read_text())[0]["status"] == "done"
    assert not (second.folder / "stack.json").exists()
    status = second.command("status", "--json")
    assert json.loads(status.stdout)["url"] == system.stack.url


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="another host name needs root")
def test_a_machine_joins_with_all_its_workers_and_leaves(system: System, second: SecondHome) -> None:
    elsewhere = ("unshare", "--uts", "sh", "-c", 'hostname second-machine && exec "$@"', "sh")
    arguments = ("up", "--workers-only", "--cpu-executors", "1", "--run-workers", "1")
    with second.worker(*arguments, prefix=elsewhere) as machine:
        wait_until(
            lambda: len(system.pool().alive("gpu")) == len(system.pool().alive("run")) == 2, 120, "they have joined"
        )
        assert {worker.host for worker in system.pool().workers} == {os.uname().nodename, "second-machine"}
        machine.terminate()
        assert machine.wait(120) == 0
    assert {worker.host for worker in system.pool().workers} == {os.uname().nodename}


# `test_shared_settings.py` and `workers/` test the parts without a stack.
@pytest.mark.exhaustive
def test_workers_adopt_new_settings_and_no_run_uses_old_ones(system: System, second: SecondHome) -> None:
    version = settings_version(system)
    with (
        second.worker("gpu-worker", "--gpu", "cpu:5") as executor,
        second.worker("run-worker", "--slot", "second") as run_worker,
    ):
        wait_until(
            lambda: len(system.pool().alive("gpu")) == len(system.pool().alive("run")) == 2, 120, "they have joined"
        )
        before = {worker.name: worker.pid for worker in system.pool().workers}
        [own_executor] = (name for name in before if name.startswith("cpu-0@"))
        exported = json.loads(second.command("settings", "show", "--json").stdout)["settings"]
        assert exported["model"].endswith("/bulletin.pt")

        pushed = second.command("settings", "push", **same_settings(system), initial_prompt="A bulletin.")
        assert pushed.returncode == 0, pushed.stderr
        assert "TRANSCRIPTION_INITIAL_PROMPT: not set -> A bulletin." in pushed.stdout
        assert settings_version(system) == version + 1
        run_id = system.launch(system.register(DEMO_RECORDINGS[:1]))
        assert executor.wait(60) == run_worker.wait(60) == 0

    [run] = system.finish(list(run_id))
    assert run.status == "SUCCESS", system.log_of(run.id)
    tag = system.graphql("query($id: ID!) { runOrError(runId: $id) { ... on Run { tags { key value } } } }", id=run.id)
    tags = {pair["key"]: pair["value"] for pair in tag["runOrError"]["tags"]}
    assert tags[SETTINGS_TAG].startswith(f"{version + 1}-")
    # An executor that was busy ends after its work, and for a moment its name has no process.
    wait_until(lambda: pid_of(system, own_executor) not in (None, before[own_executor]), 120, "it has a new process")

    stale = code_versions(system)
    assert len(stale) == 1
    system.stack.restart_definitions()
    wait_until(lambda: code_versions(system) not in ([], stale), 120, "the UI knows the new code version")


def pid_of(system: System, worker: str) -> int | None:
    """Return the process that has this name in the pool."""
    return next((candidate.pid for candidate in system.pool().workers if candidate.name == worker), None)


def code_versions(system: System) -> list[str]:
    """Return the code version of `transcript` in the UI; None while the code server restarts."""
    return [node["opVersion"] for node in system.graphql(CODE_VERSION)["assetNodes"]]


def same_settings(system: System) -> dict[str, str]:
    """What the first home has set itself of what all share, as its environment says it."""
    speech = ("model", "language", "temperatures", "condition_on_previous_text")
    names = (*speech, "store", "refinement", "embedder", "max_recording_hours")
    return {name: os.environ[f"TRANSCRIPTION_{name.upper()}"] for name in names}
