"""`transcription up`: the whole stack on this machine, in the foreground."""

from __future__ import annotations

import time
from collections.abc import Mapping

import click

from transcription_dagster import shared_settings
from transcription_dagster.cli.terminal import StopSignals, printable
from transcription_dagster.database import settings_documents
from transcription_dagster.database.connection import open_database
from transcription_dagster.database.settings_documents import StoredSettings
from transcription_dagster.errors import DatabaseUnavailable, StackError
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.stack.plan import StackPlan, plan_stack
from transcription_dagster.stack.postgres import database_url
from transcription_dagster.stack.stack import RunningStack, start, ui_address
from transcription_dagster.stack.supervisor import ProgramState

#: Seconds between looks at the programs, and at the settings in the database.
_POLL_SECONDS = 1.0
_SETTINGS_SECONDS = 5.0


class SettingsPoller:
    """Polls the database for changed settings."""

    def __init__(self, database_url: str) -> None:
        self._engine = open_database(database_url)
        self._version = settings_documents.current_version(self._engine)
        self._looked = time.monotonic()

    def poll(self) -> StoredSettings | None:
        """Return the settings in force if they changed; None otherwise, or while the database is unreachable."""
        if time.monotonic() - self._looked < _SETTINGS_SECONDS:
            return None
        self._looked = time.monotonic()
        try:
            stored = settings_documents.current(self._engine)
        except DatabaseUnavailable:
            return None
        if stored is None or stored.version == self._version:
            return None
        self._version = stored.version
        return stored


@click.command()
@click.option("--gpus", metavar="LIST", help="GPUs to use, such as 0,1, or none.  [default: all]")
@click.option("--run-workers", type=click.IntRange(min=1), metavar="N", help="Processes that execute runs.")
@click.option("--cpu-executors", type=click.IntRange(min=1), metavar="N", help="Executors on the CPU instead of GPUs.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="Port of the UI; 0 takes any free port.")
@click.option("--host", metavar="ADDRESS", help="Address to bind the UI to.  [default: 127.0.0.1]")
@click.option(
    "--workers-only", is_flag=True, help="Start only workers, for a stack that is already running on the same database."
)
def up(
    gpus: str | None,
    run_workers: int | None,
    cpu_executors: int | None,
    port: int | None,
    host: str | None,
    workers_only: bool,
) -> None:
    """Start everything on this machine, until Ctrl+C.

    The first Ctrl+C (or SIGTERM) lets the workers finish; a second one stops them at once, and their work is repeated
    after the next start.
    """
    settings = load_settings()
    if workers_only and settings.database_url is None:
        raise click.UsageError("--workers-only needs TRANSCRIPTION_DATABASE_URL: the database of the stack to join.")
    stack_plan = plan_stack(
        settings,
        gpus=gpus,
        run_workers=run_workers,
        cpu_executors=cpu_executors,
        host=host,
        port=port,
        workers_only=workers_only,
    )
    _announce(stack_plan, settings)
    signals = StopSignals()
    stack = start(stack_plan, settings, cancelled=lambda: signals.count > 0)
    try:
        news = SettingsPoller(database_url(settings))
        _report_settings(settings)
        click.echo(f"Up: {ui_address(settings) or 'waiting for a stack to join'}")
        click.echo("Ctrl+C stops it after the runs in progress.")
        _follow(stack, signals, news)
    finally:
        if stack.alive():
            click.echo("Stopping after the runs in progress. Press Ctrl+C again to stop immediately.")
        stack.stop(abort=lambda: signals.count > 1)
    click.echo("Everything is stopped.")


def _report_settings(settings: Settings) -> None:
    stored = shared_settings.in_force(settings, database_url(settings))
    if stored is not None:
        click.echo(f"Settings: {printable(shared_settings.describe(stored))}")


def program_changes(before: Mapping[str, ProgramState], after: Mapping[str, ProgramState]) -> list[str]:
    """Describe the changes of a stack's programs between two observations."""
    lines = []
    for name, now in after.items():
        then = before.get(name)
        if then is None or (now.state, now.pid) == (then.state, then.pid):
            continue
        if now.failed:
            lines.append(f"{name} ended ({now.description}); see {now.log}")
        elif now.pid != then.pid:
            lines.append(f"{name} was restarted as process {now.pid}")
    return lines


def _announce(stack_plan: StackPlan, settings: Settings) -> None:
    for note in stack_plan.notes:
        click.echo(note)
    database = "an embedded Postgres" if settings.database_url is None else "the given database"
    services = "" if stack_plan.workers_only else f"{database}, the UI, "
    model = "" if stack_plan.workers_only else f" with the model {settings.model}"
    click.echo(
        f"Starting {services}executors on {', '.join(stack_plan.executors)}{model}; "
        f"run workers: {stack_plan.run_workers}; home: {settings.home}"
    )


def _follow(stack: RunningStack, signals: StopSignals, news: SettingsPoller) -> None:
    """Report changes of the programs until a signal arrives, here or at the supervisor.

    Raises `StackError` if the supervisor ends unexpectedly.
    """
    before = {program.name: program for program in stack.programs()}
    while not signals.wait(_POLL_SECONDS):
        if not stack.alive():
            raise StackError(f"the supervisor ended; see {stack.home / 'logs' / 'supervisord.log'}")
        after = {program.name: program for program in stack.programs()}
        if not after:
            return
        new = news.poll()
        if new is not None and stack.url:
            click.echo(f"New settings, {printable(shared_settings.describe(new))}: restarting the daemon.")
            stack.restart_definitions()
        for line in program_changes(before, after):
            click.echo(f"{time.strftime('%H:%M:%S')} {line}")
        before = after
