"""Which jobs share an executor's device: how many it takes, how eagerly, and which it keeps apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sized
from contextlib import asynccontextmanager

from transcription_dagster.settings import RUNS_AHEAD

#: A full executor waits so long before it takes another job: one with less to do comes first.
_LONGEST_PAUSE_SECONDS = 0.3
#: The slots are divided by this for jobs that one executor was lost over.
_SUSPECTS_SHARE = 4


class Sharing:
    """Counts the jobs that an executor has, from the moment they are taken.

    Jobs that an executor was lost over run apart from others: a quarter of the slots' number together, and alone once
    two were lost. So the one that breaks the device is found, and few others are lost with it.
    """

    def __init__(self, in_hand: Sized, slots: Callable[[], int], ending: Callable[[], int]) -> None:
        """`ending` tells how many jobs end soon: as many others may be taken, to be prepared until then."""
        self._in_hand = in_hand
        self._slots = slots
        self._ending = ending
        #: How many executors were lost over each job that runs, and over each that waits to run.
        self._running: list[int] = []
        self._waiting: list[int] = []
        self._changed = asyncio.Condition()

    @property
    def most(self) -> int:
        """How many jobs the executor may have."""
        lost = max([*self._running, *self._waiting], default=0)
        return self._suspects(lost) if lost else self._slots() + min(RUNS_AHEAD, self._ending())

    @property
    def may_take(self) -> bool:
        """Whether another job may be taken."""
        return len(self._in_hand) < self.most

    @property
    def pause(self) -> float:
        """How many seconds to leave others the next job; an idle executor none."""
        return _LONGEST_PAUSE_SECONDS * len(self._in_hand) / self.most

    @asynccontextmanager
    async def beside_others(self, lost: int) -> AsyncIterator[None]:
        """Wait until a job that so many executors were lost over may run beside those that run."""
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
            # Those that are suspected go first; nothing joins them.
            return not any([*self._running, *self._waiting])
        together = [*self._running, lost]
        return min(together) > 0 and len(together) <= self._suspects(max(together))

    def _suspects(self, lost: int) -> int:
        return max(1, self._slots() // _SUSPECTS_SHARE) if lost == 1 else 1
