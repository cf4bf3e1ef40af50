"""Prefetch gate: fetch the next job just before the current one ends, in time to decode its audio."""

from __future__ import annotations

import time

from transcription_dagster.workers.pool_worker import PoolWorker

#: Seconds before the expected end of the current job at which the next one is fetched: enough to decode its audio, too
#: few for another executor to have started it sooner.
LOOK_AHEAD_SECONDS = 3.0


class PrefetchGate:
    """Tracks the job on the device and publishes its progress in the worker's record."""

    def __init__(self, pool: PoolWorker) -> None:
        self._pool = pool
        self._started: float | None = None
        self._expected: float | None = None
        self._alone = False

    def began(self, recording: str, *, expected_seconds: float | None = None, alone: bool = False) -> None:
        """Record that a job is on the device, for `expected_seconds` if known.

        `alone`: fetch no other job before this one ends.
        """
        self._started, self._expected, self._alone = time.monotonic(), expected_seconds, alone
        self._pool.state.recording, self._pool.state.progress = recording, 0.0
        self._pool.show("busy")

    def progressed(self, share: float) -> None:
        """Record the fraction done, 0 to 1; called in the main thread after each window of audio."""
        self._pool.state.progress = share

    def ended(self) -> None:
        """Record that the device is free."""
        self._started = None
        self._pool.state.recording = self._pool.state.progress = None
        self._pool.show("idle")

    @property
    def open(self) -> bool:
        """Return True if another job may be fetched now."""
        if not self._pool.hands:
            return True
        if self._started is None or self._alone:
            return False
        elapsed = time.monotonic() - self._started
        # A recording of a single window reports no progress before it ends.
        share = self._pool.state.progress
        seconds = elapsed / share if share else self._expected
        return seconds is not None and seconds - elapsed <= LOOK_AHEAD_SECONDS
