"""The console script: a group that imports each command only when it is called.

Importing every command would load Dagster and boto3 before `transcription format` could print a line.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import NoReturn

import click
from dotenv import load_dotenv

from transcription_dagster import __version__
from transcription_dagster.cli.terminal import printable_lines
from transcription_dagster.errors import InvalidSetting, TranscriptionError
from transcription_dagster.quick_imports import quick_imports

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
    "apply-corrections": "format:apply_corrections",
    "vocabulary": "refine:vocabulary",
    "database": "database:database",
    "settings": "settings:settings",
    "speakers": "speakers:speakers",
    "prune": "database:prune",
    "worklist": "worklist:worklist",
    "search": "search:search",
    "import": "recordings:import_transcript",
    "forget": "recordings:forget",
    "tokens": "tokens:tokens",
}

_PREFIX = "TRANSCRIPTION_"
#: Prefixes of variables that are no settings: those of the test suite, and the mark of a stack's processes.
_OTHERS = ("TRANSCRIPTION_TEST_", "TRANSCRIPTION_STACK")


class LazyGroup(click.Group):
    """A click group that imports a command on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        with quick_imports():
            return getattr(importlib.import_module(f"transcription_dagster.cli.{module}"), attribute)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="transcription")
def transcription() -> None:
    """Transcribe recordings through Dagster, on executors that keep the model loaded."""
    for note in unknown_settings(os.environ):
        click.echo(f"transcription: {note}", err=True)


def unknown_settings(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a message for each variable that is named like a setting and is none, such as a misspelt one."""
    # Imported late: help texts need no settings.
    from transcription_dagster.settings import Settings, variable_name

    settings = {variable_name(field) for field in Settings.model_fields}
    for name in sorted(environment):
        if not name.startswith(_PREFIX) or name.startswith(_OTHERS) or name in settings:
            continue
        # Compared without their common prefix, which would make all of them similar.
        fields = [variable.removeprefix(_PREFIX) for variable in settings]
        similar = get_close_matches(name.removeprefix(_PREFIX), fields, n=1, cutoff=0.75)
        advice = f"did you mean {_PREFIX}{similar[0]}?" if similar else "`.env.example` lists all settings"
        yield f"{name} is not a setting and has no effect; {advice}"


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
