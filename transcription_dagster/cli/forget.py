"""`transcription forget`: retract a recording."""

from __future__ import annotations

import sys

import click

from transcription_dagster.cli.arguments import RECORDING
from transcription_dagster.cli.connection import open_cli_database
from transcription_dagster.cli.instance import open_instance
from transcription_dagster.database import recordings
from transcription_dagster.database.run_traces import remove_run_traces
from transcription_dagster.settings import load_settings
from transcription_dagster.store.object_store import ObjectStore

#: Seconds that a canceled run may take to end: longer than the interrupt of a step.
_PATIENCE_SECONDS = 45.0


@click.command()
@click.argument("uuid", type=RECORDING)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def forget(uuid: str, yes: bool) -> None:
    """Delete everything about a recording: its publication, files, runs and search index.

    Unfinished runs are canceled. Only the fact that it was forgotten remains, and what it cost.

    Its source stays where it is. No sensor registers it again, but a worklist or `import` that names it does. Exit code
    1 if there was nothing to delete.
    """
    if not yes:
        click.confirm(f"Remove the transcript, captions and all other results of {uuid}?", abort=True)
    settings = load_settings()
    with open_cli_database(settings) as engine, open_instance(settings) as instance:
        from transcription_dagster.defs.forgetting import end_runs
        from transcription_dagster.defs.partition_events import remove_partition

        store = ObjectStore(settings.store_url)
        # From here on nothing can be written about it: its runs end without results.
        known = recordings.forget(engine, uuid)
        end_runs(instance, engine, uuid, patience=_PATIENCE_SECONDS, fence_seconds=settings.stale_seconds)
        files = store.forget(uuid)
        runs = remove_run_traces(engine, uuid)
        # Last, so that the partition of a partly removed recording stays visible and can be forgotten again.
        partition = remove_partition(instance, uuid)
    if not known and not files and not runs and not partition:
        click.echo(f"Nothing is kept of {uuid}.", err=True)
        sys.exit(1)
    rows = "its rows" if known else "no rows"
    click.echo(
        f"Removed {uuid}: {rows}, {files} files, {runs} runs and {'its partition' if partition else 'no partition'}."
    )
