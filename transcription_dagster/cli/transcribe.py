"""`transcription transcribe`: transcribe one file in this process, without Dagster."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from transcription_dagster import api
from transcription_dagster.api import TranscriptFormat
from transcription_dagster.cli.arguments import INPUT, OUTPUT, output_format, shown_name, write_output
from transcription_dagster.cli.format import FORMATS
from transcription_dagster.cli.terminal import printable
from transcription_dagster.errors import UnusableAudio
from transcription_dagster.language.codes import whisper_language
from transcription_dagster.model import ChannelMode
from transcription_dagster.settings import load_settings


@click.command()
@click.argument("file", type=INPUT)
@click.option(
    "-m",
    "--model",
    metavar="MODEL",
    help="Name of a Whisper model, or path of a checkpoint.  [default: TRANSCRIPTION_MODEL]",
)
@click.option(
    "--language", metavar="CODE", help="Spoken language, such as en.  [default: TRANSCRIPTION_LANGUAGE, or detected]"
)
@click.option("--to", "kind", type=click.Choice(FORMATS), help="Format; else the extension of -o, else txt.")
@click.option("-o", "--output", type=OUTPUT, help="File to write; else standard output.")
@click.option(
    "--channels",
    type=click.Choice(get_args(ChannelMode)),
    help="Mix the channels, transcribe each separately, or decide by their sound.  [default: TRANSCRIPTION_CHANNELS]",
)
@click.option("--device", metavar="DEVICE", help="cpu, cuda or cuda:N.  [default: a GPU if there is one]")
def transcribe(
    file: str,
    model: str | None,
    language: str | None,
    kind: TranscriptFormat | None,
    output: str | None,
    channels: ChannelMode | None,
    device: str | None,
) -> None:
    """Transcribe one file without Dagster.

    FILE (- for standard input) is any audio or video.
    """
    target_format = output_format(kind, output, FORMATS) or "txt"
    settings = load_settings()
    defaults = settings.speech_options()
    options = replace(defaults, model=model or defaults.model, language=whisper_language(language) or defaults.language)
    with tempfile.TemporaryDirectory(prefix="transcription-") as folder, _progress() as progress:
        task = progress.add_task(f"loading {options.model}", total=None)
        notes: list[str] = []
        transcript = api.transcribe(
            _source(file, Path(folder)),
            device=device,
            options=options,
            models_folder=settings.models_folder,
            channels=channels or settings.channels,
            max_hours=settings.max_recording_hours,
            name=shown_name(file),
            on_progress=lambda share: progress.update(task, description="transcribing", total=1.0, completed=share),
            on_warning=notes.append,
        )
    for note in notes:
        click.echo(f"transcription: {printable(note)}", err=True)
    write_output(output, api.format_transcript(transcript, target_format))


def _source(file: str, folder: Path) -> Path:
    """Return the file; standard input is first copied to the folder, because decoders need to seek."""
    if file != "-":
        return Path(file)
    copy = folder / "source"
    with click.open_file("-", "rb") as stream, copy.open("wb") as target:
        shutil.copyfileobj(stream, target)
    if copy.stat().st_size == 0:
        raise UnusableAudio("standard input is empty")
    return copy


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show a progress bar on standard error if that is a terminal; it disappears at the end."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress
