"""When a batch waits and when it gives up: outages of the stack, and requests to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from transcription_dagster.cli.batch.report import Display
from transcription_dagster.cli.batch.state import BatchState
from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster.errors import TransientError
from transcription_dagster.pool.status import PoolStatus

#: Longest outage (s) to wait through; a restart of the database or the web server takes less.
_PATIENCE_SECONDS = 300.0
#: Seconds that canceled runs may take to end.
_ABORT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What a batch depends on: the web server, the pool, the display, and requests to stop."""

    client: DagsterClient
    #: Raises `DatabaseUnavailable`.
    read_pool: Callable[[], PoolStatus]
    #: Raises if the stack is gone for good.
    check_stack: Callable[[], None]
    #: Returns how often the batch was asked to stop.
    stop_requests: Callable[[], int]
    #: Waits for a number of seconds, or until the first request to stop.
    pause: Callable[[float], object]
    display: Display


class OutageTimer:
    """Measures an outage of the stack, and ends the batch when it lasts too long."""

    def __init__(self, context: BatchContext) -> None:
        self._context = context
        self._since: float | None = None

    def ended(self) -> None:
        """Record that the stack answered."""
        self._since = None

    def continues(self, error: TransientError) -> None:
        """Record a failure to answer; raises `error` after too long an outage, and what `check_stack` raises."""
        self._context.check_stack()
        if self._since is None:
            self._since = time.monotonic()
            self._context.display.note(f"{error}; waiting for it")
        elif time.monotonic() - self._since > _PATIENCE_SECONDS:
            raise error


class ShutdownController:
    """Stops a batch: the first request lets runs finish, the second cancels them, the third gives up."""

    def __init__(self, context: BatchContext, shutdown_seconds: float) -> None:
        self._context = context
        self._shutdown_seconds = shutdown_seconds
        self._asked_at: float | None = None
        self._aborted_at: float | None = None

    @property
    def aborting(self) -> bool:
        """Return True if running runs are to be canceled."""
        return self._aborted_at is not None

    @property
    def ends_now(self) -> bool:
        """Return True if the batch is to end at once."""
        aborted_long_ago = self._aborted_at is not None and time.monotonic() - self._aborted_at > _ABORT_SECONDS
        return aborted_long_ago or self._context.stop_requests() > 2

    def listen(self, state: BatchState) -> None:
        """Check for requests to stop, and update `state`."""
        now, requests = time.monotonic(), self._context.stop_requests()
        if requests > 0 and self._asked_at is None:
            self._asked_at = now
            state.stop()
            self._context.display.note(
                "Stopping after the recordings in progress. Press Ctrl+C again to stop immediately."
            )
        overdue = self._asked_at is not None and now - self._asked_at > self._shutdown_seconds
        if (overdue or requests > 1) and self._aborted_at is None:
            self._aborted_at = now
            self._context.display.note("Canceling the runs in progress; their recordings stay waiting.")
