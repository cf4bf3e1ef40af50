"""The terminal: tables, text without control characters, and Ctrl+C."""

from __future__ import annotations

import signal
import threading
from types import FrameType
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


class StopSignals:
    """Counts SIGINT (Ctrl+C) and SIGTERM from its creation on.

    Commands stop in two steps: the first signal asks to finish, the second to abort.
    """

    def __init__(self) -> None:
        self.count = 0
        self._first = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._received)

    def wait(self, seconds: float) -> bool:
        """Wait for the first signal; return whether it has arrived."""
        return self._first.wait(seconds)

    def _received(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._first.set()
