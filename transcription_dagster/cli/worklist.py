"""`transcription worklist`: list the recordings that need work, with the cheapest job for each, for `batch`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from transcription_dagster.cli.arguments import OUTPUT, write_output
from transcription_dagster.cli.connection import open_cli_database, open_instance
from transcription_dagster.database import recordings
from transcription_dagster.database.connection import Engine
from transcription_dagster.database.recordings import Recording
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.shared_settings import with_shared_settings
from transcription_dagster.sources.worklist_entries import entry_of
from transcription_dagster.sources.worklists import encoded, write

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _selection(kind: str, description: str) -> Callable[[_Command], _Command]:
    """Return the option that selects a kind of recordings."""
    name = f"--{kind.replace('_', '-')}"
    return click.option(name, "kinds", flag_value=kind, multiple=True, help=description)


@click.command()
@_selection("without_embeddings", "Recordings that search cannot find yet.")
@_selection("failed", "Recordings whose last attempt failed.")
@_selection("stale", "Recordings published with older code or other settings.")
@_selection("missing", "Recordings that are neither published nor failed.")
@click.option(
    "-o",
    "--output",
    type=OUTPUT,
    metavar="FILE",
    help="File to write; - for standard output.  [default: assets_KIND.json, as in --KIND]",
)
def worklist(kinds: Sequence[str], output: str | None) -> None:
    """Write a worklist of the recordings that need work.

    `transcription batch` processes it. Each entry names the cheapest job that brings the recording up to date; an entry
    without a job is transcribed. An imported transcript is never replaced by a transcription.
    """
    if len(kinds) != 1:
        raise click.UsageError("Give one of --without-embeddings, --failed, --stale and --missing.")
    [kind] = kinds
    settings = load_settings()
    with open_cli_database(settings) as engine:
        entries = _with_jobs(_FINDERS[kind](engine), with_shared_settings(settings, engine))
    path = output or f"assets_{kind}.json"
    if path == "-":
        write_output(path, encoded(entries))
    else:
        write(Path(path), entries)
    jobs = Counter(entry.get("job", "transcribe") for entry in entries)
    listing = ", ".join(f"{count:,} {job}" for job, count in jobs.most_common())
    name = "standard output" if path == "-" else path
    summary = f"{name}: {len(entries):,} recordings" + (f" ({listing})" if listing else "")
    click.echo(summary, err=path == "-")


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
    versions = dict(code_versions(with_shared_settings(load_settings(), engine)))
    # The publication lists the versions of its inputs.
    versions.pop("publication", None)
    return [_Need(recording, outdated) for recording, outdated in recordings.stale(engine, versions)]


_FINDERS: dict[str, Callable[[Engine], Sequence[_Need]]] = {
    "without_embeddings": _without_embeddings,
    "failed": _failed,
    "stale": _stale,
    "missing": _missing,
}
