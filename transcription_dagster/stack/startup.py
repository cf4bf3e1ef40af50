"""Bring the programs of a stack up in their order, each when what it needs is there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from transcription_dagster.clients.atomic_files import replacing
from transcription_dagster.errors import StackError
from transcription_dagster.settings import Settings, child_environment
from transcription_dagster.stack import supervisor
from transcription_dagster.stack.files import write_files
from transcription_dagster.stack.plan import StackPlan
from transcription_dagster.stack.postgres import EmbeddedPostgres, answers
from transcription_dagster.stack.programs import (
    CODE_SERVER,
    DAEMON,
    EXECUTORS,
    POSTGRES,
    RUN_WORKERS,
    STACK_VARIABLE,
    WEB_SERVER,
    StackFiles,
    programs,
)
from transcription_dagster.stack.readiness import base_url, dagster_ready, socket_answers, workers_registered
from transcription_dagster.stack.runtime import runtime_folder

#: Limit for each step: a cold disk and a busy machine make the imports of Dagster and torch slow.
_STEP_SECONDS = 180.0
_LOG_LINES = 15


@dataclass
class Startup:
    """One attempt to start a stack."""

    plan: StackPlan
    settings: Settings
    database_url: str
    #: None: the database was given.
    postgres: EmbeddedPostgres | None
    cancelled: Callable[[], bool]
    files: StackFiles = field(init=False)
    control: supervisor.Supervisor = field(init=False)

    def __post_init__(self) -> None:
        self.files = write_files(self.settings)
        self.control = supervisor.Supervisor(runtime_folder(self.settings.home))

    def launch(self) -> int:
        """Start supervisord, with no program yet; returns its process id."""
        logs = self.settings.home / "logs"
        logs.mkdir(exist_ok=True)
        parts = programs(self.plan, self.settings, self.files, self.postgres)
        text = supervisor.configuration(parts, folder=runtime_folder(self.settings.home), logs=logs)
        path = self.settings.home / "supervisord.conf"
        with replacing(path) as file:
            file.write(text.encode())
        supervisor.launch(path, self._environment())
        pid = self.control.pid()
        if pid is None:
            raise StackError(f"supervisord did not start; see {logs / 'supervisord.log'}")
        return pid

    def bring_up(self) -> None:
        """Start the programs and return when all of them work. Raises `StackError` that says which one does not."""
        if self.postgres is not None:
            self.control.start(POSTGRES)
            self._await(lambda: answers(self.database_url), "the embedded Postgres")
        self._upgrade_tables()
        for group in (CODE_SERVER, EXECUTORS, RUN_WORKERS):
            self.control.start(group)
        self._await(lambda: socket_answers(self.files.code_socket), "the code server")
        for group in (WEB_SERVER, DAEMON):
            self.control.start(group)
        self._await(lambda: dagster_ready(base_url(self.plan.host, self.plan.port)), "Dagster")
        self._await(self._workers_registered, "the workers")

    def _environment(self) -> dict[str, str]:
        cpu_slots = sum(device.startswith("cpu:") for device in self.plan.executors)
        return {
            **child_environment(self.settings),
            "TRANSCRIPTION_HOME": str(self.settings.home),
            "TRANSCRIPTION_DATABASE_URL": self.database_url,
            # They share the cores between them.
            **({"TRANSCRIPTION_CPU_EXECUTORS": str(cpu_slots)} if cpu_slots else {}),
            "DAGSTER_HOME": str(self.files.dagster_home),
            STACK_VARIABLE: str(self.settings.home),
            # Number GPUs as nvidia-smi does, not by speed.
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "PYTHONUNBUFFERED": "1",
        }

    def _upgrade_tables(self) -> None:
        log = self.settings.home / "logs" / "schema.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "transcription_dagster.stack.schema"],
                env=self._environment(),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            self._await(lambda: process.poll() is not None, "the upgrade of the database")
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            raise StackError(f"the database could not be upgraded; the end of {log}:\n{tail(log)}")

    def _workers_registered(self) -> bool:
        workers = [state for state in self.control.programs() if "-worker-" in state.name]
        pids = {state.pid for state in workers if state.pid is not None}
        return len(pids) == len(workers) and workers_registered(
            self.database_url, pids, stale_seconds=self.settings.stale_seconds
        )

    def _await(self, ready: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _STEP_SECONDS
        while not ready():
            for state in self.control.programs():
                if state.failed:
                    raise StackError(
                        f"{state.name} ended while starting ({state.description}); the end of {state.log}:\n"
                        + tail(state.log)
                    )
            if self.cancelled():
                raise StackError("stopped before everything was up")
            if time.monotonic() > deadline:
                raise StackError(f"{what} did not come up within {_STEP_SECONDS:.0f} s; see {self.settings.home}/logs")
            time.sleep(0.1)


def tail(log: Path) -> str:
    """Return the last lines of a log; empty if there is none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return os.linesep.join(lines[-_LOG_LINES:])
