"""The console script: a group that imports each command only when it is called.

Importing every command would load Dagster and boto3 before `transcription format` could print a line.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

import click
from dotenv import load_dotenv

from transcription_dagster import __version__
from transcription_dagster.cli.terminal import printable_lines
from transcription_dagster.errors import InvalidSetting, TranscriptionError

#: The module and the click command of each command.
COMMANDS = {
    "up": "up:up",
    "batch": "batch.command:batch",
    "demo": "demo:demo",
    "status": "status:status",
    "run-worker": "workers:run_worker",
    "gpu-worker": "workers:gpu_worker",
    "models": "models:models",
    "transcribe": "transcribe:transcribe",
    "format": "format:format_transcript",
    "refine": "refine:refine",
    "apply-corrections": "apply_corrections:apply_corrections",
    "vocabulary": "vocabulary:vocabulary",
    "database": "database:database",
    "settings": "settings:settings",
    "speakers": "speakers:speakers",
    "prune": "prune:prune",
    "worklist": "worklist:worklist",
    "search": "search:search",
    "import": "import_transcript:import_transcript",
    "forget": "forget:forget",
    "tokens": "tokens:tokens",
}


class LazyGroup(click.Group):
    """A click group that imports a command on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        return getattr(importlib.import_module(f"transcription_dagster.cli.{module}"), attribute)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="transcription")
def transcription() -> None:
    """Transcribe recordings through Dagster, on executors that keep the model loaded."""
    from transcription_dagster.cli.unknown_settings import unknown_settings

    for note in unknown_settings(os.environ):
        click.echo(f"transcription: {note}", err=True)


def main() -> None:
    """Run the console script. An error of the program, or of a file or disk, ends it with one line and exit code 1."""
    try:
        _read_env_file()
        transcription()
    except TranscriptionError as error:
        _end(str(error))
    except OSError as error:
        _end(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))


def _read_env_file() -> None:
    """Read `.env`: the SDKs of Anthropic and AWS read credentials from the environment and do not know it."""
    try:
        load_dotenv(".env")
    except ValueError as error:
        raise InvalidSetting(f".env cannot be read: {error}") from error


def _end(message: str) -> NoReturn:
    click.echo(f"transcription: {printable_lines(message)}", err=True)
    sys.exit(1)
