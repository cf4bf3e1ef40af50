"""Stacks of small scripts under a real supervisord, for tests that do not need Dagster."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from transcription_dagster.stack.home import runtime_folder
from transcription_dagster.stack.plan import StackPlan
from transcription_dagster.stack.programs import STACK_VARIABLE, Program
from transcription_dagster.stack.stack import RunningStack, record_stack
from transcription_dagster.stack.supervisor import Supervisor, configuration, launch

SLEEPER = Program("daemon", "daemon", (sys.executable, "-c", "import time; time.sleep(1000)"))

#: Writes a line when it is ready and at each signal; ends at signal number `argv[3]`.
_SCRIPT = """
import signal, sys
name, journal, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
def write(what):
    with open(journal, "a") as file:
        file.write(f"{name} {what}\\n")
count = 0
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
write("ready")
while count < last:
    signal.sigwait({signal.SIGTERM})
    count += 1
    write(f"signal {count}")
write("end")
"""


def worker(home: Path, group: str, command: str, *, signals: int = 1) -> Program:
    """Return a program that logs its signals and ends at stop signal number `signals`."""
    script = home / "worker.py"
    script.write_text(_SCRIPT)
    return Program(f"{command}-1", group, (sys.executable, str(script), command, str(home / "journal"), str(signals)))


def journal(home: Path) -> list[str]:
    path = home / "journal"
    return path.read_text().splitlines() if path.exists() else []


def begin(
    home: Path, *programs: Program, started: tuple[str, ...] | None = None, executors: tuple[str, ...] = ()
) -> RunningStack:
    """Start supervisord with `programs`, and start the groups `started`, by default all."""
    folder, logs = runtime_folder(home), home / "logs"
    logs.mkdir()
    file = home / "supervisord.conf"
    file.write_text(configuration(programs, folder=folder, logs=logs))
    launch(file, {**os.environ, STACK_VARIABLE: str(home)})
    control = Supervisor(folder)
    pid = control.pid()
    assert pid is not None
    for group in dict.fromkeys(program.group for program in programs) if started is None else started:
        control.start(group)
    return record_stack(StackPlan("127.0.0.1", 3000, executors, 0), home, pid)


def until(condition: Callable[[], bool], seconds: float = 180) -> None:
    """Wait for `condition`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
