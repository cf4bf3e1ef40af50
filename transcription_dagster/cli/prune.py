"""`transcription prune`: remove Dagster's logs of old runs."""

from __future__ import annotations

import click

from transcription_dagster.cli.arguments import FiniteRange
from transcription_dagster.cli.connection import open_cli_database
from transcription_dagster.database.run_history import History, old_history, remove_old_history
from transcription_dagster.settings import load_settings


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
            click.echo(_sentence("Would remove", old_history(engine, days=days), days))
            click.echo("Nothing was removed: add --yes to do it.")


def _sentence(verb: str, history: History, days: float) -> str:
    return (
        f"{verb} {history.events:,} events ({history.bytes / 1e6:,.1f} MB) of runs that ended more than {days:g} days "
        f"ago: {history.replaced_runs:,} runs altogether, which later ones have replaced, and the details of "
        f"{history.shortened_runs:,} others."
    )
