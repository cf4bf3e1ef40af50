"""When an executor takes its next job: early enough to have its audio decoded, too late to sit on it."""

from __future__ import annotations

import time

from transcription_dagster.workers.pool_worker import PoolWorker

#: The next job is taken when the present one has at most so many seconds to go: enough to fetch and decode its audio
#: meanwhile, so little that an executor that is free sooner would rarely have begun it.
LOOK_AHEAD_SECONDS = 3.0


class PrefetchGate:
    """Knows how far the job on the device is; its progress is what the worker says of itself."""

    def __init__(self, pool: PoolWorker) -> None:
        self._pool = pool
        self._started: float | None = None
        self._expected: float | None = None
        self._alone = False

    def began(self, recording: str, *, expected_seconds: float | None = None, alone: bool = False) -> None:
        """A job is on the device now, for `expected_seconds` if that can be told.

        `alone`: nothing else is to be taken before it has ended.
        """
        self._started, self._expected, self._alone = time.monotonic(), expected_seconds, alone
        self._pool.state.recording, self._pool.state.progress = recording, 0.0
        self._pool.show("busy")

    def progressed(self, share: float) -> None:
        """So much of it is done, 0 to 1; called at each window of audio, in the main thread."""
        self._pool.state.progress = share

    def ended(self) -> None:
        """The device is free."""
        self._started = None
        self._pool.state.recording = self._pool.state.progress = None
        self._pool.show("idle")

    @property
    def open(self) -> bool:
        """Whether another job may be taken now."""
        if not self._pool.hands:
            return True
        if self._started is None or self._alone:
            return False
        elapsed = time.monotonic() - self._started
        # A recording of one window tells nothing of its progress before it is done.
        share = self._pool.state.progress
        seconds = elapsed / share if share else self._expected
        return seconds is not None and seconds - elapsed <= LOOK_AHEAD_SECONDS
