"""`transcription models`: the speech models that can be used, and having one here before it is needed."""

from __future__ import annotations

import click

from transcription_dagster.settings import load_settings


@click.group()
def models() -> None:
    """Speech models: which there are, and downloading one ahead."""


@models.command("list")
def list_models() -> None:
    """List the known models; a downloaded one with its size and file."""
    from transcription_dagster.speech.models import downloaded_models, known_models

    files = downloaded_models(load_settings().models_folder)
    for name in known_models():
        file = files.get(name)
        click.echo(f"{name:<16}{f'{file.stat().st_size / 1e6:>7.0f} MB  {file}' if file else ''}".rstrip())


@models.command()
@click.argument("name")
def pull(name: str) -> None:
    """Download the model NAME, unless it is here, and check it."""
    from transcription_dagster.speech.models import checkpoint

    click.echo(checkpoint(name, load_settings().models_folder))
