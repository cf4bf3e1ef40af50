"""Ctrl+C and SIGTERM for commands that stop in two steps: the first asks to finish, the second to abort."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class StopSignals:
    """Counts SIGINT and SIGTERM from its creation on."""

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
