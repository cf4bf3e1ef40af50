"""A recording's use of a device, and whether it may continue."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from transcription_dagster.errors import TimeLimitExceeded, TranscriptionAborted

_numbers = itertools.count()


class DeviceUse:
    """A recording's use of a device in seconds: its own work plus its share of work done for several together.

    A free slot goes to the recording that started first. The device's thread calls `should_stop` at every step.
    """

    def __init__(self, limit: float | None = None, should_stop: Callable[[], bool] = lambda: False) -> None:
        self.number = next(_numbers)
        self.seconds = 0.0
        self.limit = limit
        self._should_stop = should_stop

    def check(self) -> None:
        """Raise `TranscriptionAborted` if it should stop, `TimeLimitExceeded` if the limit is used up."""
        if self._should_stop():
            raise TranscriptionAborted
        if self.limit is not None and self.seconds > self.limit:
            raise TimeLimitExceeded(f"stopped after {self.seconds:.0f} s of work on the device")
