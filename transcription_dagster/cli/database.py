"""`transcription database` and `transcription prune`: upgrade and inspect the tables, and remove old run logs."""

from __future__ import annotations

import click
from rich.table import Table

from transcription_dagster.cli.arguments import FiniteRange
from transcription_dagster.cli.connection import open_cli_database, prepare_dagster, reachable_database
from transcription_dagster.cli.terminal import open_console
from transcription_dagster.database.archive import overview
from transcription_dagster.database.connection import check_version, opened_database
from transcription_dagster.database.run_history import History, old_history, remove_old_history
from transcription_dagster.search.index import models_in_use, retire_unused
from transcription_dagster.settings import load_settings
from transcription_dagster.shared_settings import with_shared_settings
from transcription_dagster.sources.addresses import move_secrets
from transcription_dagster.store.object_store import ObjectStore


@click.group()
def database() -> None:
    """Upgrade and inspect the database."""


@database.command()
def upgrade() -> None:
    """Upgrade all tables to this version of the program.

    These are the program's own tables, those of the queues and Dagster's. `transcription up` does the same. Tables that
    are up to date stay as they are.
    """
    from transcription_dagster.stack.dagster_processes import upgrade_tables

    settings = load_settings()
    with reachable_database(settings) as url:
        prepare_dagster(settings, url)
        upgrade_tables(url)
        with opened_database(url) as engine:
            move_secrets(engine, ObjectStore(with_shared_settings(settings, engine).store_url))
            for model in retire_unused(engine):
                click.echo(f"Dropped the index of {model.name}, which no recording uses any more.")
            click.echo(f"The database is at revision {check_version(engine)}.")


@database.command()
def status() -> None:
    """Show the database's revision and contents.

    Exit codes: 0 it is up to date, 1 it needs an upgrade.
    """
    settings = load_settings()
    with open_cli_database(settings) as engine:
        counts = overview(engine)
        table = Table(show_header=False, box=None)
        table.add_row("revision", f"{check_version(engine)}, up to date")
        table.add_row("recordings", f"{counts.recordings:,}, {counts.published:,} published, {counts.failed:,} failed")
        table.add_row("search", f"{counts.chunks:,} chunks of {counts.embedded:,} recordings")
        for model, recordings in models_in_use(engine).items():
            table.add_row("embedded with", f"{model.name}, {model.dimensions} dimensions: {recordings:,} recordings")
        open_console().print(table)


@click.command()
@click.option(
    "--older-than",
    type=FiniteRange(min=1),
    metavar="DAYS",
    help="Minimum age of a run, in days since it ended.  [default: TRANSCRIPTION_RUN_HISTORY_DAYS]",
)
@click.option(
    "-y", "--yes", is_flag=True, help="Remove the details; without this option, only show what would be removed."
)
def prune(older_than: float | None, yes: bool) -> None:
    """Remove details of old runs from Dagster's database.

    Without --yes, it only shows what would be removed. Results are kept, and so is the state of every asset in the UI:
    the latest materialization of each recording, how its run ended, and its check results. Runs whose results have all
    been replaced are removed entirely. Runs of an unfinished backfill are left alone.
    """
    settings = load_settings()
    days = older_than if older_than is not None else settings.run_history_days
    if days is None:
        raise click.UsageError("set the age: --older-than DAYS, or set TRANSCRIPTION_RUN_HISTORY_DAYS")
    with open_cli_database(settings) as engine:
        if yes:
            click.echo(_sentence("Removed", remove_old_history(engine, days=days), days))
        else:
            history = old_history(engine, days=days)
            click.echo(_sentence("Would remove", history, days))
            if history.events:
                click.echo("Nothing was removed: add --yes to remove them.")


def _sentence(verb: str, history: History, days: float) -> str:
    age = f"more than {days:g} day{'' if days == 1 else 's'} ago"
    if not history.events:
        return f"There is nothing to remove from runs that ended {age}."
    return (
        f"{verb} {history.events:,} events ({history.bytes / 1e6:,.1f} MB) of runs that ended {age}: "
        f"{history.replaced_runs:,} superseded runs completely, and the details of {history.shortened_runs:,} others."
    )
