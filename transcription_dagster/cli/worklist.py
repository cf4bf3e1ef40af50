"""`transcription worklist`: the recordings that still need something, in the form that `batch` reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from transcription_dagster.cli.connection import open_cli_database, shared
from transcription_dagster.database import worklists
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import Recording
from transcription_dagster.model import Term
from transcription_dagster.settings import load_settings
from transcription_dagster.worklists import write


@click.command()
@click.option("--without-embeddings", "kind", flag_value="without_embeddings", help="Search cannot find them yet.")
@click.option("--failed", "kind", flag_value="failed", help="Their last attempt failed.")
@click.option("--stale", "kind", flag_value="stale", help="Published by another version of an asset, or other options.")
@click.option("--missing", "kind", flag_value="missing", help="Nothing of them is published, and they have not failed.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="[default: assets_KIND.json, as in --KIND]"
)
def worklist(kind: str | None, output: Path | None) -> None:
    """Write a worklist of the recordings that need something, for `transcription batch`."""
    if kind is None:
        raise click.UsageError("Say which recordings: --without-embeddings, --failed, --stale or --missing.")
    with open_cli_database(load_settings()) as engine:
        recordings = _QUERIES[kind](engine)
    path = output or Path(f"assets_{kind}.json")
    write(path, [entry(recording) for recording in recordings])
    click.echo(f"{path}: {len(recordings):,} recordings")


def entry(recording: Recording) -> dict[str, Any]:
    """Return the recording as an object of a worklist, without what is not known of it."""
    values = {
        "uuid": recording.uuid,
        "source": recording.source,
        "title": recording.title,
        "language": recording.language,
        "vocabulary": [_term(term) for term in recording.vocabulary],
    }
    return {name: value for name, value in values.items() if value}


def _term(term: Term) -> str | dict[str, Any]:
    if term == Term(term.text):
        return term.text
    return {"term": term.text, "variants": term.variants, "category": term.category, "weight": term.weight}


def _stale(engine: Engine) -> Sequence[Recording]:
    # Importing the assets takes seconds, which the other kinds need not wait for.
    from transcription_dagster.defs.all_assets import code_versions

    # The versions to compare with are those that the workers' settings make.
    versions = dict(code_versions(shared(load_settings(), engine)))
    # The publication lists the versions of what it was made from.
    versions.pop("publication", None)
    return worklists.stale(engine, versions)


_QUERIES: dict[str, Callable[[Engine], Sequence[Recording]]] = {
    "without_embeddings": worklists.without_embeddings,
    "failed": worklists.failed,
    "stale": _stale,
    "missing": worklists.missing,
}
