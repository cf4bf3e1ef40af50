"""Where tables are printed, and what may reach a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_FILE_WIDTH = 120


def printable(text: str) -> str:
    """Return `text` in one line, with a space for every character that a terminal would obey instead of show.

    Titles, errors and transcripts come from outside: an escape sequence in one could rewrite what stands on the screen.
    """
    return "".join(character if character.isprintable() else " " for character in text)


def printable_lines(text: str) -> str:
    """Return a text of several lines with each of them `printable`."""
    return "\n".join(printable(line) for line in text.splitlines())


def open_console() -> Console:
    """The terminal as wide as it is; a file or a pipe wide enough that no UUID is broken."""
    # The console script imports this module for every command, most of which print no table.
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)


def clock(seconds: float) -> str:
    """Format a position in a recording, or a duration, as `h:mm:ss`, rounded down."""
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"
