"""Read and write the files of filter commands: a path or `-`, independent of the terminal's encoding."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import click

from transcription_dagster.captions.encodings import EncodedText, decode
from transcription_dagster.errors import InvalidCaptions

#: An existing file, or `-` for standard input.
INPUT = click.Path(exists=True, dir_okay=False, allow_dash=True)
#: A file to write.
OUTPUT = click.Path(dir_okay=False, writable=True, allow_dash=True)


def read_input(path: str) -> bytes:
    """Return the content of a file, or of standard input for `-`."""
    with click.open_file(path, "rb") as stream:
        return stream.read()


def read_encoded(path: str, encoding: str | None = None) -> EncodedText:
    """Decode a file in the given or detected encoding; a guessed one is reported."""
    name = "standard input" if path == "-" else path
    try:
        content = decode(read_input(path), encoding)
    except InvalidCaptions as error:
        raise InvalidCaptions(f"{name}: {error}") from None
    if content.guessed:
        click.echo(f"{name} is not UTF-8: read as {content.encoding} (--encoding names another)", err=True)
    return content


def write_output(path: str | None, content: str | bytes) -> None:
    """Write to a file, replacing it atomically, or to standard output; text as UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    if path is None or path == "-":
        if sys.stdout is None:
            raise OSError(errno.EBADF, "standard output is closed")
        click.echo(data, nl=False)
        return
    if not (folder := Path(path).parent).is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(folder))
    with click.open_file(path, "wb", atomic=True) as stream:
        stream.write(data)


def extension(path: str | None) -> str:
    """Return the extension of a path, in lower case and without its dot."""
    return Path(path or "").suffix.lower().lstrip(".")
