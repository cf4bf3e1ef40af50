"""The programs of a stack: their commands, and the order in which they start and stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from transcription_dagster.settings import Settings
from transcription_dagster.stack.home import CODE_LOCATION, DagsterFiles
from transcription_dagster.stack.plan import StackPlan
from transcription_dagster.stack.postgres import EmbeddedPostgres

#: Set in the environment of every process of a stack, to the home of that stack.
STACK_VARIABLE = "TRANSCRIPTION_STACK"

#: The groups; they stop in the reverse of `ORDER`, one after the other: runs in progress need the executors, and the
#: UI stays up until they finish.
POSTGRES, CODE_SERVER, WEB_SERVER, EXECUTORS, RUN_WORKERS, DAEMON = (
    "postgres",
    "code-server",
    "web-server",
    "executors",
    "run-workers",
    "daemon",
)
ORDER = (POSTGRES, CODE_SERVER, WEB_SERVER, EXECUTORS, RUN_WORKERS, DAEMON)

GPU_WORKER, RUN_WORKER = "gpu-worker", "run-worker"
#: Identifies a worker by its command line.
WORKER_COMMANDS = frozenset({GPU_WORKER, RUN_WORKER})

_DAGSTER_PROCESSES = "transcription_dagster.stack.dagster_processes"

#: A worker allows itself `shutdown_seconds`; supervisord kills it this much later.
_GRACE_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Program:
    """A long-lived process of a stack."""

    name: str
    group: str
    command: tuple[str, ...]
    stop_signal: str = "TERM"
    #: Seconds between the stop signal and the kill.
    stop_seconds: int = 20
    #: System user to run as; None for the current one.
    user: str | None = None


def programs(
    plan: StackPlan, settings: Settings, files: DagsterFiles, postgres: EmbeddedPostgres | None
) -> tuple[Program, ...]:
    """Return the programs for `plan`; `postgres` is None if the database is external."""
    if plan.workers_only:
        return tuple(_workers(plan, settings))
    return (
        *([_postgres(postgres, settings)] if postgres else []),
        *_dagster(plan, settings, files),
        *_workers(plan, settings),
    )


def _postgres(postgres: EmbeddedPostgres, settings: Settings) -> Program:
    # Postgres needs none of the secrets in our environment, and as root runs as another user who could read them.
    clean = ("/usr/bin/env", "-i", f"PATH={os.defpath}", "LC_ALL=C", f"{STACK_VARIABLE}={settings.home}")
    return Program(
        POSTGRES,
        POSTGRES,
        (*clean, *postgres.command),
        stop_signal=postgres.stop_signal.name.removeprefix("SIG"),
        stop_seconds=60,
        user=postgres.system_user,
    )


def _dagster(plan: StackPlan, settings: Settings, files: DagsterFiles) -> Iterator[Program]:
    python = (sys.executable, "-P", "-m")
    log_level = settings.log_level
    workspace = ("--workspace", str(files.workspace))
    yield Program(
        CODE_SERVER,
        CODE_SERVER,
        (
            *(*python, _DAGSTER_PROCESSES, "code-server", "api", "grpc"),
            *("--module-name", "transcription_dagster.definitions"),
            *("--location-name", CODE_LOCATION, "--socket", str(files.code_socket)),
            *("--use-python-environment-entry-point", "--log-level", log_level),
        ),
    )
    yield Program(
        WEB_SERVER,
        WEB_SERVER,
        (
            *(*python, "transcription_dagster.web.server", "--host", plan.host, "--port", str(plan.port)),
            *(*workspace, "--log-level", log_level),
        ),
    )
    yield Program(
        DAEMON,
        DAEMON,
        (
            *(*python, _DAGSTER_PROCESSES, "daemon", plan.advertised_url),
            *("run", *workspace, "--log-level", log_level),
        ),
    )


def _workers(plan: StackPlan, settings: Settings) -> Iterator[Program]:
    command = (sys.executable, "-P", "-m", "transcription_dagster")
    patience = round(settings.shutdown_seconds) + _GRACE_SECONDS
    for device in plan.executors:
        name, arguments = f"{GPU_WORKER}-{device.replace(':', '-')}", (GPU_WORKER, "--gpu", device)
        yield Program(name, EXECUTORS, (*command, *arguments), stop_seconds=patience)
    for number in range(1, plan.run_workers + 1):
        name, arguments = f"{RUN_WORKER}-{number}", (RUN_WORKER, "--slot", str(number))
        yield Program(name, RUN_WORKERS, (*command, *arguments), stop_seconds=patience)
