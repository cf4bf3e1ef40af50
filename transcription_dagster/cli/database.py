"""`transcription database`: upgrade the tables, and count what they hold."""

from __future__ import annotations

import click
from rich.table import Table

from transcription_dagster.cli.connection import open_cli_database, prepare_dagster, reachable_database
from transcription_dagster.cli.terminal import open_console
from transcription_dagster.database.archive import overview
from transcription_dagster.database.connection import check_version, open_database
from transcription_dagster.search.index import models_in_use, retire_unused
from transcription_dagster.settings import load_settings


@click.group()
def database() -> None:
    """Upgrade and inspect the database."""


@database.command()
def upgrade() -> None:
    """Upgrade all tables to this version of the program.

    These are the program's own tables, those of the queues and Dagster's. `transcription up` does the same. Tables that
    are up to date stay as they are.
    """
    from transcription_dagster.stack.schema import upgrade_tables

    settings = load_settings()
    with reachable_database(settings) as url:
        prepare_dagster(settings, url)
        upgrade_tables(url)
        engine = open_database(url)
        try:
            for model in retire_unused(engine):
                click.echo(f"Dropped the index of {model.name}, which no recording is embedded with any more.")
            click.echo(f"The database is at revision {check_version(engine)}.")
        finally:
            engine.dispose()


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
