from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from transcription_dagster.settings import load_settings
from transcription_dagster.stack.plan import StackPlan
from transcription_dagster.stack.postgres import EmbeddedPostgres
from transcription_dagster.stack.programs import ORDER, DagsterFiles, Program, programs

PLAN = StackPlan(host="127.0.0.1", port=3210, executors=("0", "cpu:1"), run_workers=2)
FILES = DagsterFiles(Path("/home/dagster"), Path("/home/dagster/workspace.yaml"), Path("/home/run/code"))
POSTGRES = EmbeddedPostgres(Path("/home/postgres"), Path("/home/run/pg"), Path("/wheel/bin"), "pgserver")
SECRET = "planted-secret"


def make(*, postgres: EmbeddedPostgres | None = POSTGRES, **settings: object) -> dict[str, Program]:
    by_name = programs(PLAN, load_settings(home="/home", **settings), FILES, postgres)
    assert len({program.name for program in by_name}) == len(by_name)
    return {program.name: program for program in by_name}


def _ends_with(command: Sequence[str], *end: str) -> bool:
    return tuple(command[-len(end) :]) == end


def test_each_executor_and_each_run_worker_has_a_program():
    by_name = make()
    assert _ends_with(by_name["gpu-worker-0"].command, "gpu-worker", "--gpu", "0")
    assert _ends_with(by_name["gpu-worker-cpu-1"].command, "gpu-worker", "--gpu", "cpu:1")
    assert _ends_with(by_name["run-worker-1"].command, "run-worker", "--slot", "1")
    assert _ends_with(by_name["run-worker-2"].command, "run-worker", "--slot", "2")
    assert by_name["run-worker-1"].command[0] == sys.executable


def test_one_code_server_serves_the_web_server_and_the_daemon():
    by_name = make()
    assert "/home/run/code" in by_name["code-server"].command
    assert "/home/dagster/workspace.yaml" in by_name["web-server"].command
    assert "/home/dagster/workspace.yaml" in by_name["daemon"].command
    assert {"127.0.0.1", "3210"} <= set(by_name["web-server"].command)


def test_postgres_is_a_program_only_if_embedded():
    assert make()["postgres"].user == "pgserver"
    assert "postgres" not in make(postgres=None)


def test_postgres_starts_with_an_empty_environment():
    assert make()["postgres"].command[:2] == ("/usr/bin/env", "-i")


def test_runs_end_before_the_executors_they_need_and_postgres_ends_last():
    assert {program.group for program in make().values()} == set(ORDER)
    assert ORDER[0] == "postgres"
    assert ORDER.index("executors") < ORDER.index("run-workers") < ORDER.index("daemon")


def test_workers_get_the_time_that_the_settings_give_them():
    by_name = make(shutdown_seconds=120)
    assert by_name["run-worker-1"].stop_seconds == by_name["gpu-worker-0"].stop_seconds == 135
    assert by_name["daemon"].stop_seconds < 60


def test_no_command_holds_a_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    by_name = make(database_url=f"postgresql://user:{SECRET}@host/db")
    assert not [program.name for program in by_name.values() if SECRET in " ".join(program.command)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run-worker-1", "gpu-worker-0", "code-server", "web-server", "daemon"])
def test_a_python_file_in_the_working_folder_replaces_no_library(name: str, tmp_path: Path):
    for library in ("argparse", "click", "psycopg"):
        (tmp_path / f"{library}.py").write_text("raise SystemExit('imported from the working folder')")
    command = make()[name].command
    interpreter, module = command[: command.index("-m")], command[command.index("-m") + 1]
    # As with `-m`, Python looks for modules in the working folder first unless it is told not to.
    load = [
        *interpreter,
        "-c",
        f"import {module}" if module != "transcription_dagster" else f"import {module}.cli.main",
    ]
    result = subprocess.run(load, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
