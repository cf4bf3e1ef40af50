"""`transcription worklist`: list the recordings that need work, with the cheapest job for each, for `batch`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from transcription_dagster.cli.connection import open_cli_database, open_instance, shared
from transcription_dagster.database import recordings
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import Recording
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.sources.worklist_entries import entry_of
from transcription_dagster.sources.worklists import write


@click.command()
@click.option(
    "--without-embeddings", "kind", flag_value="without_embeddings", help="Recordings that search cannot find yet."
)
@click.option("--failed", "kind", flag_value="failed", help="Recordings whose last attempt failed.")
@click.option("--stale", "kind", flag_value="stale", help="Recordings published with older code or other settings.")
@click.option("--missing", "kind", flag_value="missing", help="Recordings without a publication or a failure.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="[default: assets_KIND.json, as in --KIND]"
)
def worklist(kind: str | None, output: Path | None) -> None:
    """Write a worklist of the recordings that need work.

    `transcription batch` processes it. Each entry names the cheapest job that brings the recording up to date; an entry
    without a job is transcribed. An imported transcript is never replaced by a transcription.
    """
    if kind is None:
        raise click.UsageError("Select recordings: --without-embeddings, --failed, --stale or --missing.")
    settings = load_settings()
    with open_cli_database(settings) as engine:
        entries = _with_jobs(_FINDERS[kind](engine), shared(settings, engine))
    path = output or Path(f"assets_{kind}.json")
    write(path, entries)
    jobs = Counter(entry.get("job", "transcribe") for entry in entries)
    listing = ", ".join(f"{count:,} {job}" for job, count in jobs.most_common())
    click.echo(f"{path}: {len(entries):,} recordings" + (f" ({listing})" if listing else ""))


@dataclass(frozen=True, slots=True)
class _Need:
    """A recording and its known problems, besides missing assets."""

    recording: Recording
    outdated: frozenset[str] = frozenset()
    failed: bool = False


def _with_jobs(needs: Sequence[_Need], settings: Settings) -> list[dict[str, Any]]:
    if not needs:
        return []
    # Importing Dagster and the definitions takes seconds.
    from transcription_dagster.defs.jobs import JobChooser

    with open_instance(settings) as instance:
        mending = JobChooser(instance, settings)
    return [
        entry_of(need.recording, mending.job(need.recording.uuid, need.outdated, failed=need.failed)) for need in needs
    ]


def _without_embeddings(engine: Engine) -> Sequence[_Need]:
    failed = {recording.uuid for recording in recordings.failed(engine)}
    return [
        _Need(recording, frozenset({"embeddings"}), failed=recording.uuid in failed)
        for recording in recordings.without_embeddings(engine)
    ]


def _failed(engine: Engine) -> Sequence[_Need]:
    return [_Need(recording, failed=True) for recording in recordings.failed(engine)]


def _missing(engine: Engine) -> Sequence[_Need]:
    return [_Need(recording) for recording in recordings.unpublished(engine)]


def _stale(engine: Engine) -> Sequence[_Need]:
    # Importing the assets takes seconds, and only this kind needs them.
    from transcription_dagster.defs.all_assets import code_versions

    # Compare with the versions that the workers' settings produce.
    versions = dict(code_versions(shared(load_settings(), engine)))
    # The publication lists the versions of its inputs.
    versions.pop("publication", None)
    return [_Need(recording, outdated) for recording, outdated in recordings.stale(engine, versions)]


_FINDERS: dict[str, Callable[[Engine], Sequence[_Need]]] = {
    "without_embeddings": _without_embeddings,
    "failed": _failed,
    "stale": _stale,
    "missing": _missing,
}
