"""`transcription up`: what it refuses, what it reports, and how it ends. `test_up_with_s3.py` uses a whole stack."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from transcription_dagster.cli.terminal import StopSignals
from transcription_dagster.cli.up import program_changes, up
from transcription_dagster.database.connection import open_database
from transcription_dagster.settings import load_settings
from transcription_dagster.shared_settings import push
from transcription_dagster.stack.stack import running
from transcription_dagster.stack.supervisor import ProgramState, end_orphan_processes
from transcription_dagster_tests.end_to_end.up_process import Up, started_up
from transcription_dagster_tests.postgres import cloned_database
from transcription_dagster_tests.processes import below, running_yet
from transcription_dagster_tests.stack.small_stack import SLEEPER, begin, until
from transcription_dagster_tests.system import CHECKPOINT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("up")]

SECRET = "planted-secret-7c1f"
#: To start workers alone.
JOINS = ("--workers-only", "--run-workers", "1")
WORKER = ProgramState("run-worker-1", "RUNNING", 10, "pid 10, uptime 0:00:09", Path("/logs/run-worker-1.log"))


def _changes(now: ProgramState) -> list[str]:
    return program_changes({WORKER.name: WORKER}, {now.name: now})


def test_an_unchanged_stack_is_not_reported():
    assert _changes(WORKER) == []
    assert _changes(replace(WORKER, description="pid 10, uptime 0:00:10")) == []


def test_a_restart_is_reported():
    assert _changes(replace(WORKER, pid=11)) == ["run-worker-1 was restarted as process 11"]


def test_the_end_of_a_program_is_reported_with_its_reason_and_log():
    ended = replace(WORKER, state="BACKOFF", pid=None, description="Exited too quickly")
    assert _changes(ended) == ["run-worker-1 ended (Exited too quickly); see /logs/run-worker-1.log"]
    assert program_changes({ended.name: ended}, {ended.name: ended}) == []


def test_the_return_of_a_program_is_reported():
    ended = replace(WORKER, state="BACKOFF", pid=None)
    assert program_changes({ended.name: ended}, {WORKER.name: WORKER}) == ["run-worker-1 was restarted as process 10"]


@pytest.mark.parametrize("arguments", [["--run-workers", "0"], ["--port", "70000"], ["--cpu-executors", "many"], ["x"]])
def test_up_exits_with_2_on_usage_errors(arguments: list[str]):
    assert CliRunner().invoke(up, arguments).exit_code == 2


@pytest.fixture
def joined_up(home: Path) -> Iterator[Up]:
    """`transcription up --workers-only`, the smallest that starts anything."""
    with _database_for(str(CHECKPOINT)) as url, started_up(home, *JOINS, TRANSCRIPTION_DATABASE_URL=url) as started:
        yield started


@contextmanager
def _database_for(model: str) -> Iterator[str]:
    """A database whose stack works with `model`."""
    with cloned_database() as url:
        engine = open_database(url)
        push(load_settings(model=model), engine, has_credentials=False)
        engine.dispose()
        yield url


@pytest.mark.system
def test_up_ends_in_order_when_its_supervisor_is_asked_to_stop(joined_up: Up):
    everything = below(joined_up.stack.pid)
    os.kill(joined_up.stack.pid, signal.SIGTERM)
    joined_up.ends_with(0)
    assert everything
    assert not running_yet(everything)


@pytest.fixture
def _own_signals() -> Iterator[None]:
    """Restore this process's signal handlers, which `up` replaces."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_own_signals")
def test_up_reports_a_killed_supervisor_and_leaves_nothing_running(home: Path, monkeypatch: pytest.MonkeyPatch):
    stack = begin(home, SLEEPER)
    until(lambda: len(below(stack.pid)) == 1)
    everything = below(stack.pid)

    def kill_meanwhile(_signals: StopSignals, _seconds: float) -> bool:
        os.kill(stack.pid, signal.SIGKILL)
        until(lambda: not stack.alive())
        return False

    monkeypatch.setattr("transcription_dagster.cli.up.start", lambda *_, **__: stack)
    monkeypatch.setattr(StopSignals, "wait", kill_meanwhile)
    monkeypatch.setenv("TRANSCRIPTION_HOME", str(home))
    with _database_for(str(CHECKPOINT)) as url:
        monkeypatch.setenv("TRANSCRIPTION_DATABASE_URL", url)
        ended = CliRunner().invoke(up, ["--gpus", "none", *JOINS])
    assert ended.exit_code == 1
    assert "the supervisor ended" in str(ended.exception), ended.output
    assert not running_yet(everything)


def _refused(home: Path, *arguments: str, **variables: str) -> str:
    attempt = Up(home, *arguments, **variables)
    attempt.ends_with(1)
    assert running(load_settings(home=home)) is None
    assert end_orphan_processes(home) == 0
    return attempt.said()


def test_a_port_in_use_is_refused(home: Path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        assert re.search(rf"^transcription: port {port} on .* is in use", _refused(home, "--port", port), re.MULTILINE)


def test_a_missing_gpu_is_refused(home: Path):
    assert _refused(home, "--gpus", "77").startswith("transcription: GPU '77' is not there; GPUs of this machine:")


def test_a_database_that_does_not_answer_is_refused_without_its_password(home: Path):
    message = _refused(home, "--port", "0", TRANSCRIPTION_DATABASE_URL=f"postgresql://user:{SECRET}@127.0.0.1:1/speech")
    assert "cannot connect to the database 'speech' on 127.0.0.1: " in message
    assert SECRET not in message


def test_an_executor_with_an_unknown_model_ends_with_the_reason(home: Path):
    with _database_for("larg") as url:
        command = [sys.executable, "-m", "transcription_dagster", "gpu-worker", "--gpu", "cpu:0"]
        variables = {"TRANSCRIPTION_HOME": str(home), "TRANSCRIPTION_DATABASE_URL": url}
        ended = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 1
    assert "'larg' is neither a known model nor the path of a checkpoint" in ended.stderr
