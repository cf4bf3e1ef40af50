"""`transcription transcribe`: one file to text or captions in this process, without Dagster."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from transcription_dagster.audio.decode import normalise
from transcription_dagster.captions.cues import CaptionLimits
from transcription_dagster.cli.files import INPUT, OUTPUT, extension, write_output
from transcription_dagster.cli.format import FORMATS
from transcription_dagster.cli.terminal import printable
from transcription_dagster.errors import InvalidRecordingId
from transcription_dagster.language.codes import whisper_language
from transcription_dagster.model import Transcript, recording_id
from transcription_dagster.settings import Settings, load_settings

if TYPE_CHECKING:
    from transcription_dagster.whisper.engine import SpeechEngine


@click.command()
@click.argument("file", type=INPUT)
@click.option("-m", "--model", help="Whisper model by name or checkpoint; else the setting.")
@click.option("--language", help="Language that is spoken, such as en; else the setting, else guessed.")
@click.option("--to", "kind", type=click.Choice(list(FORMATS)), help="Format; else the extension of -o, else txt.")
@click.option("-o", "--output", type=OUTPUT, help="File to write; else standard output.")
@click.option("--device", help="cpu, cuda or cuda:N; else a GPU if there is one.")
def transcribe(
    file: str, model: str | None, language: str | None, kind: str | None, output: str | None, device: str | None
) -> None:
    """Transcribe FILE, any audio or video (- for standard input), without Dagster."""
    settings = load_settings()
    defaults = settings.speech_options()
    options = replace(defaults, model=model or defaults.model, language=whisper_language(language) or defaults.language)
    with tempfile.TemporaryDirectory(prefix="transcription-") as folder, _progress() as progress:
        source = _source(file, Path(folder))
        flac = Path(folder) / "audio.flac"
        task = progress.add_task(f"loading {options.model}", total=None)
        engine = _engine(settings, device)
        engine.load(options.model)
        progress.update(task, description="decoding")
        facts = normalise(
            source, flac, max_seconds=settings.max_recording_hours * 3600, name=file, language=options.language
        )
        progress.update(task, description="transcribing", total=1.0)
        transcript = engine.transcribe(
            engine.prepare(flac),
            options,
            recording=_recording(source),
            on_progress=lambda share: progress.update(task, completed=share),
            should_stop=lambda: False,
        )
    for warning in [*filter(None, [facts.track]), *facts.warnings, *_notes(transcript)]:
        click.echo(f"transcription: {printable(warning)}", err=True)
    chosen = kind or (extension(output) if extension(output) in FORMATS else "txt")
    write_output(output, FORMATS[chosen](transcript, CaptionLimits()))


def _source(file: str, folder: Path) -> Path:
    """The file itself; standard input is kept in the folder first, because a decoder has to go back and forth."""
    if file != "-":
        return Path(file)
    copy = folder / "source"
    with click.open_file("-", "rb") as stream, copy.open("wb") as target:
        shutil.copyfileobj(stream, target)
    return copy


def _engine(settings: Settings, device: str | None) -> SpeechEngine:
    import torch

    from transcription_dagster.whisper.engine import SpeechEngine

    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return SpeechEngine(chosen, models_folder=settings.models_folder)


def _recording(source: Path) -> str:
    """The recording's id if the file is named by one."""
    try:
        return recording_id(source.stem.lower())
    except InvalidRecordingId:
        return ""


def _notes(transcript: Transcript) -> Iterator[str]:
    for removed in transcript.removed:
        yield f"left out {removed.start:.1f} s to {removed.end:.1f} s ({removed.reason}): {removed.text}"
    if not transcript.words:
        yield "nobody speaks in this recording"


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on standard error, where that is a terminal; gone when the work is done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress
