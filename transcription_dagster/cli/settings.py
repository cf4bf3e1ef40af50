"""`transcription settings`: the settings that all machines share, stored in the database."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from transcription_dagster import shared_settings
from transcription_dagster.cli.connection import open_cli_database
from transcription_dagster.cli.terminal import printable
from transcription_dagster.database import settings_documents
from transcription_dagster.database.settings_documents import StoredSettings
from transcription_dagster.errors import InvalidSetting
from transcription_dagster.refinement.claude import has_credentials
from transcription_dagster.settings import Settings, load_settings


@click.group()
def settings() -> None:
    """Compare, push and show the shared settings.

    They determine results, and are one document in the database for all machines.
    """


@settings.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the version and the whole document.")
def show(as_json: bool) -> None:
    """Show the settings in force, and who wrote them and when."""
    with open_cli_database(load_settings()) as engine:
        stored = _in_force(settings_documents.current(engine))
    if as_json:
        values = {"version": stored.version, "digest": stored.digest, "program": stored.program, "host": stored.host}
        who = {"pushed_by": stored.pushed_by, "pushed_at": stored.pushed_at.isoformat()}
        click.echo(json.dumps({**values, **who, "settings": stored.document}, indent=2, ensure_ascii=False))
        return
    click.echo(printable(shared_settings.describe(stored)))
    # The database does not preserve the order of a document.
    for name in [*shared_settings.SHARED, *sorted(set(stored.document) - set(shared_settings.SHARED))]:
        click.echo(printable(f"{shared_settings.document_variable(name)}={_value(stored.document, name)}"))


@settings.command()
def diff() -> None:
    """Compare this machine's settings with those in force.

    Exit codes: 0 they are the same, 1 they differ.
    """
    local = load_settings()
    with open_cli_database(local) as engine:
        stored = _in_force(settings_documents.current(engine))
    differences = shared_settings.changed_values(_document(local), stored.document)
    for difference in differences:
        click.echo(printable(str(difference)))
    if not differences:
        click.echo(f"No differences from {printable(shared_settings.describe(stored))}.")
    sys.exit(1 if differences else 0)


@settings.command()
def push() -> None:
    """Put this machine's settings in force for all machines.

    Workers finish their current run or request, then restart with them.
    """
    local = load_settings()
    with open_cli_database(local) as engine:
        before = shared_settings.push(local, engine, has_credentials=has_credentials())
        stored = _in_force(settings_documents.current(engine))
    for line in setting_changes(before, stored):
        click.echo(printable(line))


def setting_changes(before: StoredSettings | None, now: StoredSettings) -> list[str]:
    """Return a line for each setting that a push changed."""
    if before is not None and before.digest == now.digest:
        return [f"Settings: {shared_settings.describe(now)}, unchanged."]
    differences = shared_settings.changed_values(now.document, before.document) if before else []
    lines = [f"  {difference.variable}: {difference.there} -> {difference.here}" for difference in differences]
    return [f"Settings: {shared_settings.describe(now)}.", *lines]


def _document(local: Settings) -> dict[str, Any]:
    return shared_settings.document_of(local, has_credentials=has_credentials())


def _value(document: Mapping[str, Any], name: str) -> str:
    return shared_settings.display_value(name, document.get(name))


def _in_force(stored: StoredSettings | None) -> StoredSettings:
    if stored is None:
        raise InvalidSetting("the database has no settings yet: `transcription up` or `settings push` writes them")
    return stored
