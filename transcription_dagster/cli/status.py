"""`transcription status`: workers, queues, runs and problems."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from transcription_dagster.cli.terminal import open_console, printable, printable_lines
from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster.dagster_api.values import ACTIVE_STATUSES, WAITING_STATUSES, Daemon
from transcription_dagster.database.connection import check_version, opened_database
from transcription_dagster.errors import TranscriptionError
from transcription_dagster.pool.devices import GPU_QUEUE
from transcription_dagster.pool.run_queue import RUNS_QUEUE
from transcription_dagster.pool.status import PoolReader, PoolStatus, WorkerStatus
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.stack.postgres import database_url
from transcription_dagster.stack.stack import running, ui_address
from transcription_dagster.stack.supervisor import ProgramState

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Installation:
    """The known state of an installation; None for what is unknown."""

    #: Address of the UI; None if no stack is up, on this home or on its database.
    url: str | None
    programs: tuple[ProgramState, ...] = ()
    pool: PoolStatus | None = None
    #: Number of runs by status.
    runs: Mapping[str, int] | None = None
    daemons: tuple[Daemon, ...] = ()
    #: Problems met while collecting the state.
    complaints: tuple[str, ...] = field(default=())

    def problems(self) -> list[str]:
        """Return the problems, one sentence each, with advice where there is any; empty if all is well."""
        problems = [] if self.url else ["No stack is running: start one with `transcription up`."]
        problems += self.complaints
        problems += [
            f"{program.name} is not running ({program.description}); see {program.log}"
            for program in self.programs
            if program.failed
        ]
        problems += [
            f"The daemon's {daemon.type.lower().replace('_', ' ')} is not healthy: "
            + ("; ".join(daemon.errors) or "no recent heartbeat")
            for daemon in self.daemons
            if not daemon.healthy
        ]
        return problems + list(self._pool_problems())

    def _pool_problems(self) -> Iterator[str]:
        if self.pool is None:
            return
        for worker in self.pool.workers:
            if worker.state in ("dead", "silent"):
                why = f"; its last error: {worker.last_error}" if worker.last_error else ""
                silent = worker.seconds_since_heartbeat
                since = f"for {silent:.0f} s" if silent != float("inf") else "since it was last registered"
                yield f"{worker.name} (process {worker.pid} on {worker.host}) has sent no heartbeat {since}{why}."
            if worker.state == "unfit":
                yield f"{worker.name} (on {worker.host}) is unfit and keeps retrying: {worker.last_error}."
        runs = self.runs or {}
        gpu_work = _waiting_on(self.pool, GPU_QUEUE) + sum(runs.get(status, 0) for status in WAITING_STATUSES)
        if gpu_work and not self.pool.alive("gpu"):
            yield f"No GPU executor is alive, and {gpu_work} runs and requests wait for one."
        run_work = _waiting_on(self.pool, RUNS_QUEUE) + sum(runs.get(status, 0) for status in ACTIVE_STATUSES)
        if run_work and not self.pool.alive("run"):
            yield f"No run worker is alive, and {run_work} runs wait for one or were running on one."


def _waiting_on(pool: PoolStatus, queue: str) -> int:
    """Return the number of jobs on a queue and on its queues for single GPUs."""
    return sum(count for name, count in pool.queues.items() if name == queue or name.startswith(f"{queue}:"))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Show executors, run workers, queues, runs and problems.

    Exit codes: 0 no problems, 1 problems.
    """
    installation = read_installation(load_settings())
    problems = installation.problems()
    if as_json:
        click.echo(json.dumps(as_document(installation), indent=2))
    else:
        _show(open_console(), installation)
    sys.exit(1 if problems else 0)


def read_installation(settings: Settings) -> Installation:
    """Collect the state of the supervisor, the database and the web server; one that does not answer is a problem."""
    complaints: list[str] = []

    def ask(question: Callable[[], Value]) -> Value | None:
        try:
            return question()
        except TranscriptionError as error:
            # One database that does not answer is one problem, however many questions it leaves open.
            if str(error) not in complaints:
                complaints.append(str(error))
            return None

    stack = running(settings)
    # The embedded database is part of the stack: without a stack there is no database to query.
    pool = ask(lambda: _pool(settings)) if stack or settings.database_url else None
    programs = ask(stack.programs) if stack else None
    url = ask(lambda: ui_address(settings))
    if url is None:
        return Installation(None, programs or (), pool, complaints=tuple(complaints))
    with DagsterClient(url, settings.ui_password) as client:
        runs = ask(client.count_runs)
        daemons = ask(client.daemons) if runs is not None else None
    return Installation(url, programs or (), pool, runs, tuple(daemons or ()), tuple(complaints))


def as_document(installation: Installation) -> dict[str, Any]:
    """Return the state as JSON values."""
    pool = installation.pool or PoolStatus((), {})
    return {
        "url": installation.url,
        "healthy": not installation.problems(),
        "problems": installation.problems(),
        "executors": [_worker_document(worker) for worker in pool.workers if worker.kind == "gpu"],
        "run_workers": [_worker_document(worker) for worker in pool.workers if worker.kind == "run"],
        "queues": pool.queues,
        "runs": installation.runs,
        "daemons": {daemon.type: daemon.healthy for daemon in installation.daemons},
        "programs": {program.name: program.state for program in installation.programs},
    }


def _pool(settings: Settings) -> PoolStatus:
    url = database_url(settings)
    with opened_database(url) as engine:
        check_version(engine)
    return PoolReader(stale_seconds=settings.stale_seconds, beat_seconds=settings.heartbeat_seconds).settle(url)


def _worker_document(worker: WorkerStatus) -> dict[str, Any]:
    values = asdict(worker)
    # JSON has no infinity.
    if values["seconds_since_heartbeat"] == float("inf"):
        values["seconds_since_heartbeat"] = None
    return values


def _show(console: Console, installation: Installation) -> None:
    console.print(f"UI: {installation.url}" if installation.url else "UI: none", highlight=False)
    if installation.pool is not None:
        console.print(_workers(installation.pool))
        for worker in installation.pool.alive("gpu"):
            if worker.work is not None:
                console.print(Text(printable(f"{worker.name}: {worker.work.rates()}")))
        waiting = ", ".join(f"{name}: {count}" for name, count in sorted(installation.pool.queues.items()))
        console.print(f"Waiting in the queues: {waiting or 'nothing'}", highlight=False)
    if installation.runs is not None:
        counts = ", ".join(f"{name.lower()}: {count}" for name, count in installation.runs.items() if count)
        console.print(f"Runs: {counts or 'none yet'}", highlight=False)
    for problem in installation.problems():
        console.print(Text(printable_lines(problem), style="red"))


def _workers(pool: PoolStatus) -> Table:
    table = Table(header_style="bold")
    for heading in ("Worker", "Device", "Model", "State", "On", "Done", "Model loads", "Last error"):
        table.add_column(heading, overflow="fold")
    for worker in pool.workers:
        cells = [
            worker.name,
            worker.device or "",
            PurePath(worker.model or "").name,
            worker.state,
            "\n".join(_current_work(worker)),
            str(worker.jobs),
            str(worker.model_loads) if worker.kind == "gpu" else "",
            worker.last_error or "",
        ]
        table.add_row(*(Text(printable_lines(cell)) for cell in cells))
    return table


def _current_work(worker: WorkerStatus) -> list[str]:
    """Yield a line for each piece of work of a worker."""
    if worker.work is None:
        return [worker.recording or ""]
    return [f"{piece.recording} {piece.progress:.0%}" for piece in worker.work.recordings]
