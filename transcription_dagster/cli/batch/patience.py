"""When a batch waits, and when it gives up: a stack that does not answer, a user who wants it to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from transcription_dagster.cli.batch.display import Display
from transcription_dagster.cli.batch.state import BatchState
from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster.errors import TransientError
from transcription_dagster.pool.state import PoolStatus

#: A database that restarts, or a web server that does, is back sooner.
_PATIENCE_SECONDS = 300.0
#: How long runs that were told to end may take.
_ABORT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What a batch works with: the web server, the pool, and somebody who may want it to stop."""

    client: DagsterClient
    #: Raises `DatabaseUnavailable`.
    read_pool: Callable[[], PoolStatus]
    #: Raises if the stack is gone for good.
    check_stack: Callable[[], None]
    #: How often somebody asked the batch to stop.
    stop_requests: Callable[[], int]
    #: Waits for so many seconds, or less when the first request to stop comes.
    pause: Callable[[float], object]
    display: Display


class OutageTimer:
    """Waits for a stack that does not answer, but not for ever."""

    def __init__(self, context: BatchContext) -> None:
        self._context = context
        self._since: float | None = None

    def ended(self) -> None:
        """It answers."""
        self._since = None

    def continues(self, error: TransientError) -> None:
        """It does not answer; raises `error` when that has lasted too long, and what `check_stack` raises."""
        self._context.check_stack()
        if self._since is None:
            self._since = time.monotonic()
            self._context.display.note(f"{error}; waiting for it")
        elif time.monotonic() - self._since > _PATIENCE_SECONDS:
            raise error


class ShutdownController:
    """What follows from the batch having been asked to stop: once, twice, three times."""

    def __init__(self, context: BatchContext, shutdown_seconds: float) -> None:
        self._context = context
        self._shutdown_seconds = shutdown_seconds
        self._asked_at: float | None = None
        self._aborted_at: float | None = None

    @property
    def aborting(self) -> bool:
        """Whether runs under way are to be ended."""
        return self._aborted_at is not None

    @property
    def given_up(self) -> bool:
        """Whether nothing is waited for any more."""
        aborted_long_ago = self._aborted_at is not None and time.monotonic() - self._aborted_at > _ABORT_SECONDS
        return aborted_long_ago or self._context.stop_requests() > 2

    def listen(self, state: BatchState) -> None:
        """Look whether anybody asked, and tell `state`."""
        now, requests = time.monotonic(), self._context.stop_requests()
        if requests > 0 and self._asked_at is None:
            self._asked_at = now
            state.stop()
            self._context.display.note("Nothing new starts; what runs finishes. Ctrl+C again ends it at once.")
        overdue = self._asked_at is not None and now - self._asked_at > self._shutdown_seconds
        if (overdue or requests > 1) and self._aborted_at is None:
            self._aborted_at = now
            self._context.display.note("Ending the runs that are under way; their recordings stay waiting.")
