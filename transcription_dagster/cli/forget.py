"""`transcription forget`: retract a recording."""

from __future__ import annotations

import sys

import click

from transcription_dagster.cli.arguments import RECORDING
from transcription_dagster.cli.connection import open_cli_database
from transcription_dagster.cli.instance import open_instance
from transcription_dagster.clients.object_store import ObjectStore
from transcription_dagster.database import recordings
from transcription_dagster.database.connection import Engine
from transcription_dagster.settings import load_settings


@click.command()
@click.argument("uuid", type=RECORDING)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def forget(uuid: str, yes: bool) -> None:
    """Remove all that is kept of a recording: what is published, its files, and what search knows.

    Its source stays where it is, and no sensor takes it in again; a worklist or `import` that names it does. Exit code
    1 if nothing was kept.
    """
    if not yes:
        click.confirm(f"Remove the transcript, captions and all other results of {uuid}?", abort=True)
    settings = load_settings()
    with open_cli_database(settings) as engine, open_instance(settings) as instance:
        from transcription_dagster.defs.partition_events import remove_partition

        known, files = remove(engine, ObjectStore(settings.store_url), uuid)
        # Last, so that a recording that is still there is one that can be seen and forgotten.
        partition = remove_partition(instance, uuid)
    if not known and not files and not partition:
        click.echo(f"Nothing is kept of {uuid}.", err=True)
        sys.exit(1)
    rows = "its rows" if known else "no rows"
    click.echo(f"Removed {uuid}: {rows}, {files} files and {'its partition' if partition else 'no partition'}.")


def remove(engine: Engine, store: ObjectStore, uuid: str) -> tuple[bool, int]:
    """Remove a recording's rows, then its files; return whether there were rows, and how many files there were.

    Interrupted half way, the next call removes what is left.
    """
    known = recordings.forget(engine, uuid)
    keys = [stored.key for stored in store.list(uuid)]
    for key in keys:
        store.delete(key)
    return known, len(keys)
