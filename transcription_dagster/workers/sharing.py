"""Sharing of an executor's device between jobs: how many, when the next one is claimed, and which run isolated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sized
from contextlib import asynccontextmanager, contextmanager

from transcription_dagster.settings import RUNS_AHEAD

#: Seconds that a full executor waits before it claims another job, so that others claim it first.
_LONGEST_PAUSE_SECONDS = 0.3
#: Jobs that have cost an executor share the slots divided by this number.
_SUSPECTS_SHARE = 4


class Sharing:
    """Counts an executor's jobs from the moment they are claimed.

    Jobs that have cost an executor run apart from others: in a quarter of the slots, and alone once they have cost two
    executors. This isolates the job that breaks the device, and loses few others with it.
    """

    def __init__(self, in_hand: Sized, slots: Callable[[], int], ending: Callable[[], int]) -> None:
        """`ending` returns the number of jobs that end soon: as many others may be claimed and prepared meanwhile."""
        self._in_hand = in_hand
        self._slots = slots
        self._ending = ending
        #: Executors lost over each running job, and over each waiting job.
        self._running: list[int] = []
        self._waiting: list[int] = []
        self._changed = asyncio.Condition()

    @property
    def most(self) -> int:
        """Return the maximum number of jobs."""
        lost = max([*self._running, *self._waiting], default=0)
        return self._suspects(lost) if lost else self._slots() + min(RUNS_AHEAD, self._ending())

    @property
    def may_take(self) -> bool:
        """Return whether another job may be claimed."""
        return len(self._in_hand) < self.most

    @property
    def pause(self) -> float:
        """Return the seconds for which to leave the next job to others; 0 for an idle executor."""
        return _LONGEST_PAUSE_SECONDS * len(self._in_hand) / self.most

    @asynccontextmanager
    async def wait_for_turn(self, lost: int) -> AsyncIterator[None]:
        """Wait until a job over which `lost` executors were lost may run beside the running ones."""
        try:
            with _counted(lost, self._waiting):
                async with self._changed:
                    await self._changed.wait_for(lambda: self._may_run(lost))
            with _counted(lost, self._running):
                yield
        finally:
            # Others may be waiting for a job that has ended, or was canceled while it waited.
            async with self._changed:
                self._changed.notify_all()

    def _may_run(self, lost: int) -> bool:
        if lost == 0:
            # Suspect jobs have priority; no other job joins them.
            return not any([*self._running, *self._waiting])
        together = [*self._running, lost]
        return min(together) > 0 and len(together) <= self._suspects(max(together))

    def _suspects(self, lost: int) -> int:
        return max(1, self._slots() // _SUSPECTS_SHARE) if lost == 1 else 1


@contextmanager
def _counted(lost: int, jobs: list[int]) -> Iterator[None]:
    """Count a job among `jobs` for a while."""
    jobs.append(lost)
    try:
        yield
    finally:
        jobs.remove(lost)
