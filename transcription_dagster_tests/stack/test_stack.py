from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from transcription_dagster.database.connection import open_database
from transcription_dagster.database.settings_documents import current_version
from transcription_dagster.errors import DatabaseUnavailable, InvalidSetting, StackError, StoreRefused
from transcription_dagster.settings import load_settings
from transcription_dagster.shared_settings import push
from transcription_dagster.stack.plan import StackPlan
from transcription_dagster.stack.postgres import embedded_postgres
from transcription_dagster.stack.programs import Program
from transcription_dagster.stack.stack import claim_port, running, start
from transcription_dagster.stack.supervisor import end_orphan_processes
from transcription_dagster_tests.postgres import cloned_database
from transcription_dagster_tests.processes import below, running_yet
from transcription_dagster_tests.stack.small_stack import SLEEPER, begin, journal, until, worker

pytestmark = pytest.mark.slow

PLAN = StackPlan(host="127.0.0.1", port=0, executors=("cpu:0",), run_workers=1)


def test_a_stack_is_found_by_other_processes(home: Path):
    stack = begin(home, SLEEPER)
    assert running(load_settings(home=home)) == stack
    stack.stop()
    assert running(load_settings(home=home)) is None


def test_without_a_stack_none_is_found(home: Path):
    assert running(load_settings(home=home)) is None


def test_the_record_of_a_killed_stack_is_ignored(home: Path):
    stack = begin(home, SLEEPER)
    psutil.Process(stack.pid).kill()
    until(lambda: not stack.alive())
    assert running(load_settings(home=home)) is None


def test_another_process_with_the_old_pid_is_not_the_stack(home: Path):
    stack = begin(home, SLEEPER)
    stack.stop()
    values = {"pid": os.getpid(), "created": 1.0, "url": "", "executors": [], "run_workers": 1}
    (home / "stack.json").write_text(json.dumps(values))
    assert running(load_settings(home=home)) is None


def test_a_dead_program_is_restarted(home: Path):
    stack = begin(home, SLEEPER)
    until(lambda: stack.programs()[0].pid is not None)
    first = stack.programs()[0].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until(lambda: [child.pid for child in running_yet(below(stack.pid))] not in ([], [first]))
    stack.stop()


def test_run_workers_finish_before_the_executors_are_asked_to(home: Path):
    stack = begin(home, worker(home, "executors", "gpu-worker"), worker(home, "run-workers", "run-worker"))
    until(lambda: len(journal(home)) == 2)
    stack.stop()
    assert journal(home)[2:] == ["run-worker signal 1", "run-worker end", "gpu-worker signal 1", "gpu-worker end"]


def test_an_abort_is_a_second_signal_to_the_workers(home: Path):
    executor = worker(home, "executors", "gpu-worker", signals=2)
    stack = begin(home, executor, worker(home, "run-workers", "run-worker", signals=2))
    until(lambda: len(journal(home)) == 2)
    stack.stop(abort=lambda: "run-worker signal 1" in journal(home))
    assert [line for line in journal(home) if line.startswith("run-worker")] == [
        "run-worker ready",
        "run-worker signal 1",
        "run-worker signal 2",
        "run-worker end",
    ]
    assert journal(home)[-1] == "gpu-worker end"


def test_run_workers_do_not_wait_for_executors_that_ended_during_the_stop(home: Path):
    executor = worker(home, "executors", "gpu-worker")
    stack = begin(home, executor, worker(home, "run-workers", "run-worker", signals=2), executors=("cpu:0",))
    until(lambda: len(journal(home)) == 2)
    processes = [process for process in below(stack.pid) if "gpu-worker" in process.cmdline()]

    def executor_ends() -> bool:
        if "run-worker signal 1" in journal(home) and "gpu-worker end" not in journal(home):
            processes[0].terminate()
            until(lambda: not running_yet(processes))
        return False

    stack.stop(abort=executor_ends)
    assert journal(home)[-2:] == ["run-worker signal 2", "run-worker end"]


def test_workers_that_ignore_an_abort_are_killed(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("transcription_dagster.stack.stack._ABORT_SECONDS", 1.0)
    stack = begin(home, worker(home, "run-workers", "run-worker", signals=1000))
    until(lambda: len(journal(home)) == 1)
    stack.stop(abort=lambda: True)
    assert not stack.alive()
    assert "run-worker end" not in journal(home)


def test_nothing_is_left_after_a_stop(home: Path):
    child = f"subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(1000)'])"
    parent = f"import subprocess, time; {child}; time.sleep(1000)"
    stack = begin(home, Program("daemon", "daemon", (sys.executable, "-c", parent)))
    until(lambda: len(below(stack.pid)) == 2)
    processes = below(stack.pid)
    stack.stop()
    assert not running_yet(processes)


def test_orphans_of_a_killed_supervisor_are_ended(home: Path):
    stack = begin(home, SLEEPER)
    until(lambda: len(below(stack.pid)) == 1)
    orphans = below(stack.pid)
    psutil.Process(stack.pid).kill()
    until(lambda: not stack.alive())
    assert end_orphan_processes(home) == 1
    assert not running_yet(orphans)


def test_the_stack_of_another_home_is_left_alone(home: Path, tmp_path: Path):
    stack = begin(home, SLEEPER)
    until(lambda: len(below(stack.pid)) == 1)
    assert end_orphan_processes(tmp_path) == 0
    assert len(below(stack.pid)) == 1
    stack.stop()


def test_a_second_stack_on_the_same_home_is_refused(home: Path):
    stack = begin(home, SLEEPER)
    with pytest.raises(StackError, match=rf"is up at http://127\.0\.0\.1:3000, .*`kill {stack.pid}` ends it"):
        start(PLAN, load_settings(home=home))
    assert stack.alive()
    stack.stop()


def test_two_starts_at_once_are_refused(home: Path):
    with FileLock(home / "stack.lock"), pytest.raises(StackError, match="another process is starting a stack"):
        start(PLAN, load_settings(home=home))


def test_a_start_is_refused_while_a_command_uses_the_embedded_database(home: Path):
    settings = load_settings(home=home)
    with (
        embedded_postgres(settings),
        pytest.raises(StackError, match="another command uses the embedded database"),
    ):
        start(PLAN, settings)


def test_a_home_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="cannot be used: Not a directory"):
        start(PLAN, load_settings(home=tmp_path / "file" / "home"))


def test_a_store_that_cannot_be_written_ends_the_start_before_anything_runs(home: Path, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreRefused, match="cannot be opened"):
        start(PLAN, load_settings(home=home, store=(tmp_path / "file" / "store").as_uri()))
    assert running(load_settings(home=home)) is None


def test_a_database_that_does_not_answer_ends_the_start_before_anything_runs(home: Path):
    settings = load_settings(home=home, database_url="postgresql://user@127.0.0.1:1/speech")
    with pytest.raises(DatabaseUnavailable, match="cannot connect"):
        start(PLAN, settings)
    assert not (home / "supervisord.conf").exists()


def test_a_port_in_use_ends_the_start_before_anything_runs(home: Path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} on 127.0.0.1 is in use"):
            start(StackPlan("127.0.0.1", port, ("cpu:0",), 1), load_settings(home=home))
    assert not (home / "supervisord.conf").exists()


def test_a_start_that_is_cancelled_leaves_nothing_running(home: Path):
    settings = load_settings(home=home)
    with pytest.raises(StackError, match="stopped before everything was up"):
        start(PLAN, settings, cancelled=lambda: (home / "postgres" / "postmaster.pid").exists())
    assert running(settings) is None
    assert end_orphan_processes(home) == 0


def test_a_program_that_ends_during_the_start_is_named_and_nothing_is_left_running(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", str(home))
    (home / "sitecustomize.py").write_text(
        "import sys\nif 'grpc' in sys.orig_argv:\n    sys.exit('the definitions are broken')\n"
    )
    with pytest.raises(StackError, match=r"(?s)code-server ended while starting .*the definitions are broken"):
        start(PLAN, load_settings(home=home))
    assert end_orphan_processes(home) == 0


def test_a_start_that_may_not_change_the_settings_is_refused_where_it_contradicts_them(home: Path):
    with cloned_database() as url:
        engine = open_database(url)
        push(load_settings(home=home, model="large-v3"), engine, has_credentials=False)
        settings = load_settings(home=home, database_url=url, model="medium")
        with pytest.raises(InvalidSetting, match="TRANSCRIPTION_MODEL: medium here, large-v3 in the database"):
            start(PLAN, settings, writes_settings=False)
        assert current_version(engine) == 1
        engine.dispose()
    assert end_orphan_processes(home) == 0


def test_a_free_port_is_found():
    port = claim_port("127.0.0.1", 0)
    assert claim_port("127.0.0.1", port) == port


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
def test_a_foreign_host_is_refused(host: str):
    with pytest.raises(StackError, match="cannot listen on"):
        claim_port(host, 0)
