"""Reading and writing of the filters: a path or `-`, UTF-8 whatever the terminal says."""

from __future__ import annotations

from pathlib import Path

import click

#: An argument that is an existing file, or `-` for standard input.
INPUT = click.Path(exists=True, dir_okay=False, allow_dash=True)
#: An option that is a file to write.
OUTPUT = click.Path(dir_okay=False, writable=True, allow_dash=True)


def read_input(path: str) -> bytes:
    """The content of a file, or of standard input for `-`."""
    with click.open_file(path, "rb") as stream:
        return stream.read()


def read_text(path: str) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; anything else is bad usage."""
    try:
        return read_input(path).decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        name = "standard input" if path == "-" else path
        raise click.UsageError(f"{name} is not a text in UTF-8: byte {problem.start} is not") from None


def write_output(path: str | None, text: str) -> None:
    """Write the text to a file, which is replaced whole or not at all, or to standard output."""
    if path is None or path == "-":
        click.echo(text.encode(), nl=False)
        return
    with click.open_file(path, "w", encoding="utf-8", atomic=True) as stream:
        stream.write(text)


def extension(path: str | None) -> str:
    """The extension of a path, in lower case and without its dot."""
    return Path(path or "").suffix.lower().lstrip(".")
