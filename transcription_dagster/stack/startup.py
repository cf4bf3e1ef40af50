"""Start the programs of a stack in order, each once its dependencies are ready."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from transcription_dagster import shared_settings
from transcription_dagster.atomic_files import replacing
from transcription_dagster.dagster_api.client import basic_authentication
from transcription_dagster.database import settings_documents
from transcription_dagster.database.connection import Engine, opened_database
from transcription_dagster.errors import DatabaseUnavailable, StackError
from transcription_dagster.pool.liveness import this_place
from transcription_dagster.pool.status import read_pool
from transcription_dagster.refinement.claude import has_credentials
from transcription_dagster.settings import Settings, child_environment
from transcription_dagster.shared_settings import with_shared_settings
from transcription_dagster.sources.addresses import move_secrets
from transcription_dagster.stack import supervisor
from transcription_dagster.stack.home import DagsterFiles, log_tail, runtime_folder, write_dagster_files
from transcription_dagster.stack.one_stack import refuse_contradictions
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
    programs,
)
from transcription_dagster.store.object_store import ObjectStore

#: Limit for each step: a cold disk and a busy machine make the imports of Dagster and torch slow.
_STEP_SECONDS = 180.0
_MODEL_SECONDS = 30.0

_READINESS = """
query Readiness {
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
  workspaceOrError {
    __typename
    ... on Workspace { locationEntries { locationOrLoadError { __typename ... on PythonError { message } } } }
    ... on PythonError { message }
  }
}
"""


@dataclass
class Startup:
    """One attempt to start a stack."""

    plan: StackPlan
    settings: Settings
    database_url: str
    #: None if the database is external.
    postgres: EmbeddedPostgres | None
    cancelled: Callable[[], bool]
    #: Whether these settings replace shared settings already in force.
    writes_settings: bool = True
    files: DagsterFiles = field(init=False)
    control: supervisor.Supervisor = field(init=False)
    #: Length of each log before the start, in bytes.
    _old_logs: dict[Path, int] = field(init=False, default_factory=dict)
    #: The first process id of each program.
    _pids: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.files = write_dagster_files(self.settings)
        self.control = supervisor.Supervisor(runtime_folder(self.settings.home))

    def launch(self) -> int:
        """Start supervisord without any program; return its process id."""
        logs = self.settings.home / "logs"
        logs.mkdir(exist_ok=True)
        self._old_logs = {log: log.stat().st_size for log in logs.glob("*.log")}
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
        """Start the programs and return when all of them work. Raises `StackError`, naming the one that does not."""
        if self.plan.workers_only:
            self._start(EXECUTORS, RUN_WORKERS)
        else:
            self._bring_up_database()
            self._start(CODE_SERVER, EXECUTORS, RUN_WORKERS)
            self._await(lambda: socket_answers(self.files.code_socket), "the code server")
            self._start(WEB_SERVER, DAEMON)
            url, password = self.plan.url, self.settings.ui_password
            self._await(lambda: dagster_ready(url, password), "Dagster")
        self._await(lambda: len(self._worker_states()) == self._workers, "the pool of workers")
        # A broken model fails quickly; do not wait for one that is still being downloaded.
        self._wait(self._all_work, _MODEL_SECONDS)

    def _bring_up_database(self) -> None:
        if self.postgres is not None:
            self._start(POSTGRES)
            self._await(lambda: answers(self.database_url), "the embedded Postgres")
        self._upgrade_tables()
        with opened_database(self.database_url) as engine:
            self._push_settings(engine)
            move_secrets(engine, ObjectStore(with_shared_settings(self.settings, engine).store_url))

    def _start(self, *groups: str) -> None:
        for group in groups:
            self.control.start(group)

    def _environment(self) -> dict[str, str]:
        cpu_slots = sum(device.startswith("cpu:") for device in self.plan.executors)
        return {
            **child_environment(self.settings),
            "TRANSCRIPTION_HOME": str(self.settings.home),
            "TRANSCRIPTION_DATABASE_URL": self.database_url,
            # The executors share the cores.
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
                [sys.executable, "-P", "-m", "transcription_dagster.stack.dagster_processes", "upgrade"],
                env=self._environment(),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            # No time limit: large tables take long, and a killed upgrade starts over next time.
            self._wait(lambda: process.poll() is not None, math.inf)
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            raise StackError(f"the database could not be upgraded; the end of {log}:\n{log_tail(log)}")

    def _push_settings(self, engine: Engine) -> None:
        """Put this start's settings in force for the workers of every machine.

        Raises `InvalidSetting` if they contradict the settings in force and must not replace them.
        """
        if not self.writes_settings and settings_documents.current(engine) is not None:
            refuse_contradictions(self.settings, self.database_url)
        else:
            shared_settings.push(self.settings, engine, has_credentials=has_credentials())

    @property
    def _workers(self) -> int:
        return len(self.plan.executors) + self.plan.run_workers

    def _all_work(self) -> bool:
        """Return whether every worker has loaded what it needs; one that could not is gone."""
        states = self._worker_states()
        return len(states) == self._workers and "starting" not in states

    def _worker_states(self) -> list[str]:
        """Return the registered states of this stack's workers."""
        pids = {state.pid for state in self.control.programs()}
        states = local_worker_states(self.database_url, stale_seconds=self.settings.stale_seconds)
        return [state for pid, state in states.items() if pid in pids]

    def _await(self, ready: Callable[[], bool], what: str) -> None:
        if not self._wait(ready, _STEP_SECONDS):
            raise StackError(f"{what} did not come up within {_STEP_SECONDS:.0f} s; see {self.settings.home}/logs")

    def _wait(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Return whether `ready` came true in time. Raises `StackError` if a program ends or the start is cancelled."""
        deadline = time.monotonic() + seconds
        while not ready():
            for state in self.control.programs():
                if state.failed or self._was_restarted(state):
                    raise StackError(
                        f"{state.name} ended while starting ({state.description}); the end of {state.log}:\n"
                        + log_tail(state.log, self._old_logs.get(state.log, 0))
                    )
            if self.cancelled():
                raise StackError("stopped before everything was up")
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def _was_restarted(self, state: supervisor.ProgramState) -> bool:
        """Return whether the program was restarted since its first start."""
        return state.pid is not None and self._pids.setdefault(state.name, state.pid) != state.pid


def socket_answers(path: Path) -> bool:
    """Return True if a server listens on the Unix socket `path`."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def dagster_ready(url: str, password: SecretStr | None = None) -> bool:
    """Return True if the web server at `url` answers, the definitions are loaded, and every daemon is healthy.

    Raises `StackError` if the definitions cannot be loaded.
    """
    try:
        # Both programs are on this machine: ignore proxies from the environment.
        with httpx.Client(trust_env=False, timeout=30, auth=basic_authentication(password)) as client:
            if not client.get(f"{url}/health").is_success:
                return False
            answer = client.post(f"{url}/graphql", json={"query": _READINESS})
    except httpx.HTTPError:
        return False
    return answer.is_success and _is_healthy(answer.json())


def _is_healthy(answer: dict[str, Any]) -> bool:
    if answer.get("errors"):
        raise StackError(f"Dagster's web server cannot answer: {answer['errors'][0]['message']}")
    workspace, daemons = answer["data"]["workspaceOrError"], answer["data"]["instance"]["daemonHealth"]
    locations = [entry["locationOrLoadError"] for entry in workspace.get("locationEntries", [])]
    for part in [workspace, *filter(None, locations)]:
        if part["__typename"] == "PythonError":
            raise StackError(f"the definitions cannot be loaded: {part['message'].strip()}")
    healthy = all(daemon["healthy"] for daemon in daemons["allDaemonStatuses"] if daemon["required"])
    return bool(locations) and all(locations) and healthy


def local_worker_states(database_url: str, *, stale_seconds: float) -> dict[int, str]:
    """Return the states of this machine's live workers by process id; empty while the database is unreachable."""
    try:
        pool = read_pool(database_url, stale_seconds=stale_seconds)
    except DatabaseUnavailable:
        return {}
    place = this_place()
    return {worker.pid: worker.state for worker in pool.workers if worker.place == place and worker.state != "silent"}
