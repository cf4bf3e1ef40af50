"""Which jobs share an executor's device: how many, how soon the next one is taken, and which are isolated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sized
from contextlib import asynccontextmanager

from transcription_dagster.settings import RUNS_AHEAD

#: A full executor waits this long before it takes another job: executors with less to do come first.
_LONGEST_PAUSE_SECONDS = 0.3
#: Jobs that an executor was lost over share the slots divided by this number.
_SUSPECTS_SHARE = 4


class Sharing:
    """Counts an executor's jobs, from the moment they are taken.

    Jobs that an executor was lost over run apart from others: a quarter of the slots together, and alone once two
    executors were lost. This finds the job that breaks the device, and loses few others with it.
    """

    def __init__(self, in_hand: Sized, slots: Callable[[], int], ending: Callable[[], int]) -> None:
        """`ending` returns how many jobs end soon: as many others may be taken and prepared meanwhile."""
        self._in_hand = in_hand
        self._slots = slots
        self._ending = ending
        #: Executors lost over each running job, and over each waiting job.
        self._running: list[int] = []
        self._waiting: list[int] = []
        self._changed = asyncio.Condition()

    @property
    def most(self) -> int:
        """The maximum number of jobs."""
        lost = max([*self._running, *self._waiting], default=0)
        return self._suspects(lost) if lost else self._slots() + min(RUNS_AHEAD, self._ending())

    @property
    def may_take(self) -> bool:
        """Return whether another job may be taken."""
        return len(self._in_hand) < self.most

    @property
    def pause(self) -> float:
        """Return for how many seconds to leave the next job to others; 0 for an idle executor."""
        return _LONGEST_PAUSE_SECONDS * len(self._in_hand) / self.most

    @asynccontextmanager
    async def beside_others(self, lost: int) -> AsyncIterator[None]:
        """Wait until a job that `lost` executors were lost over may run next to the running ones."""
        self._waiting.append(lost)
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._may_run(lost))
        finally:
            self._waiting.remove(lost)
        self._running.append(lost)
        try:
            yield
        finally:
            self._running.remove(lost)
            async with self._changed:
                self._changed.notify_all()

    def _may_run(self, lost: int) -> bool:
        if lost == 0:
            # Suspected jobs go first; no other job joins them.
            return not any([*self._running, *self._waiting])
        together = [*self._running, lost]
        return min(together) > 0 and len(together) <= self._suspects(max(together))

    def _suspects(self, lost: int) -> int:
        return max(1, self._slots() // _SUSPECTS_SHARE) if lost == 1 else 1
