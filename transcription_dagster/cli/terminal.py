"""Where tables are printed."""

from __future__ import annotations

from rich.console import Console

_FILE_WIDTH = 120


def open_console() -> Console:
    """The terminal as wide as it is; a file or a pipe wide enough that no UUID is broken."""
    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)
