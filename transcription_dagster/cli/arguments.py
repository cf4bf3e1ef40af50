"""Argument types of the commands, and the files that they name: a path or `-`, read and written as bytes."""

from __future__ import annotations

import errno
import math
import sys
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import click

from transcription_dagster.atomic_files import is_stream
from transcription_dagster.captions.encodings import EncodedText, decode
from transcription_dagster.errors import InvalidCaptions, InvalidRecordingId, InvalidTranscript
from transcription_dagster.model import Transcript, recording_id
from transcription_dagster.transcripts.amazon_json import read_transcript


class FiniteRange(click.FloatRange):
    """A range of numbers: `nan`, which is neither below nor above any limit, and infinity are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class _Recording(click.ParamType[str]):
    """A canonical UUID in either case, converted to lower case."""

    name = "uuid"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return recording_id(value.lower())
        except InvalidRecordingId as error:
            self.fail(str(error), param, ctx)


#: A recording's UUID.
RECORDING = _Recording()


Format = TypeVar("Format", bound=str)


class _OutputFile(click.Path):
    """A file to write. Its folder is checked before any work starts: a transcription can take hours."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, allow_dash=True)

    def convert(self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = str(super().convert(value, param, ctx))
        if path != "-" and not (folder := Path(path).parent).is_dir():
            self.fail(f"the folder {str(folder)!r} does not exist.", param, ctx)
        return path


#: An existing file, or `-` for standard input.
INPUT = click.Path(exists=True, dir_okay=False, allow_dash=True)
#: A file to write, or `-` for standard output.
OUTPUT = _OutputFile()


def read_input(path: str) -> bytes:
    """Return the content of a file, or of standard input for `-`."""
    with click.open_file(path, "rb") as stream:
        return stream.read()


def read_encoded(path: str, encoding: str | None = None) -> EncodedText:
    """Decode a file in the given or detected encoding; a guessed one is reported."""
    name = shown_name(path)
    try:
        content = decode(read_input(path), encoding)
    except InvalidCaptions as error:
        raise InvalidCaptions(f"{name}: {error}") from None
    if content.guessed:
        click.echo(f"{name} is not UTF-8: read as {content.encoding} (--encoding names another)", err=True)
    return content


def read_transcript_file(path: str, *, recording: str = "") -> Transcript:
    """Read a transcript from a file or standard input. Raises `InvalidTranscript`, which names the file."""
    try:
        return read_transcript(read_input(path), recording=recording)
    except InvalidTranscript as error:
        raise InvalidTranscript(f"{shown_name(path)}: {error}") from None


def shown_name(path: str) -> str:
    """Return the name of an input in messages."""
    return "standard input" if path == "-" else path


def write_output(path: str | None, content: str | bytes) -> None:
    """Write to a file, replacing it atomically, or to standard output; text as UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    if path is None or path == "-":
        if sys.stdout is None:
            raise OSError(errno.EBADF, "standard output is closed")
        click.echo(data, nl=False)
        return
    # Replacing a device would put a file in its place: as root, `-o /dev/null` would break the whole machine.
    with click.open_file(path, "wb", atomic=not is_stream(Path(path))) as stream:
        stream.write(data)


def output_format(chosen: Format | None, output: str | None, formats: Sequence[Format]) -> Format | None:
    """Return the chosen format, else the one that the extension of the output names; None if there is neither.

    An extension of no format is a usage error, rather than a file whose content contradicts its name.
    """
    extension = Path(output or "").suffix.lower().lstrip(".")
    if chosen is not None or not extension:
        return chosen
    for name in formats:
        if name == extension:
            return name
    raise click.BadParameter(
        f"{output!r}: .{extension} is not one of the formats {', '.join(formats)}; --to selects the format.",
        param_hint="'-o' / '--output'",
    )
