"""Print tables, and keep control characters away from the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_FILE_WIDTH = 120


def printable(text: str) -> str:
    """Return `text` on one line, with a space in place of every control character.

    Titles, errors and transcripts come from outside: an escape sequence in one could rewrite the screen.
    """
    return "".join(character if character.isprintable() else " " for character in text)


def printable_lines(text: str) -> str:
    """Return a text of several lines, each made `printable`."""
    return "\n".join(printable(line) for line in text.splitlines())


def open_console() -> Console:
    """Open the terminal at its own width; files and pipes are wide enough that no UUID is broken."""
    # Imported late: every command imports this module, but few print tables.
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)
