"""What a worker and its queue agree on: work is claimed under a lease, and counts only while the lease is valid.

A worker that was silent for long may have lost its work to others. A lease identifies one claim of one piece of work
and expires when the work returns to its queue. The SQL of the queues refuses what is reported under an expired lease.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from transcription_dagster.pool.liveness import Heartbeat, LivenessMonitor
from transcription_dagster.pool.queue import PatientConnector

#: A run's job, or the key of an inference request.
WorkId = int | str


@dataclass(frozen=True, slots=True)
class Lease:
    """One claim of one piece of work by one worker."""

    work: WorkId
    #: The worker, as the queue knows it; None if the queue has forgotten it.
    holder: int | str | None
    #: Tells the claims of the same work by the same worker apart.
    number: int

    def parameters(self) -> dict[str, int | str | None]:
        """Return the lease as the named parameters of a statement."""
        return {"work": self.work, "holder": self.holder, "number": self.number}


@dataclass(slots=True)
class Claim:
    """A piece of work that a worker has claimed."""

    lease: Lease
    #: Name of the task, which decides the function that does the work.
    task: str


ClaimT = TypeVar("ClaimT", bound=Claim)


@dataclass(frozen=True, slots=True)
class ForeignLease:
    """A lease of another worker, with that worker's heartbeat."""

    lease: Lease
    #: Name of the worker's slot; None if the worker is not registered any more.
    slot: str | None
    sign: Heartbeat


class WorkQueue(Protocol[ClaimT]):
    """The queue that a kind of worker takes its work from. All methods wait through outages of the database."""

    @property
    def connector(self) -> PatientConnector:
        """The worker's connections."""
        ...

    async def open(self) -> None:
        """Open the connections, and register where the queue asks for it."""
        ...

    async def claim(self) -> ClaimT | None:
        """Claim the next piece of work; None if there is none."""
        ...

    async def finish(self, claim: ClaimT, result: Any) -> None:
        """Report that the work is done."""
        ...

    async def fail(self, claim: ClaimT, error: Exception) -> None:
        """Report that the work failed."""
        ...

    async def give_back(self, claim: ClaimT, reason: str) -> None:
        """Return unfinished work to the queue."""
        ...

    async def leases(self) -> Mapping[Lease, bool]:
        """Return the valid leases of this worker, and for each whether a user canceled the work."""
        ...

    async def foreign_leases(self) -> list[ForeignLease]:
        """Return the valid leases of all other workers."""
        ...

    async def rescue(self, lease: Lease, *, beat: str | None = None) -> None:
        """Return a lost worker's work to the queue.

        Does nothing if the lease has expired, or if its worker beat again since `beat` was observed.
        """
        ...

    async def watch(self, on_change: Callable[[WorkId], None]) -> None:
        """Call `on_change` with each piece of work that is queued, canceled or ended by others, until canceled."""
        ...


@dataclass(eq=False)
class HeldWork(Generic[ClaimT]):
    """Work in a worker's hands."""

    claim: ClaimT
    #: When the lease was last confirmed, by `awake_clock`.
    confirmed_at: float
    #: The asyncio task that does the work.
    task: asyncio.Task[Any] | None = field(default=None, repr=False)
    #: True once the task was told to stop.
    stopping: bool = False
    #: True while the end of the work is being stored.
    ending: bool = False
    #: True once another worker has the work.
    lost: bool = False

    def stop(self) -> None:
        """Stop the work, once."""
        if self.task is not None and not self.stopping:
            self.stopping = True
            self.task.cancel()


class Rescuer:
    """Returns the work of other workers that died to the queue."""

    def __init__(self, queue: WorkQueue[Any], *, stale_seconds: float, beat_seconds: float) -> None:
        """Call `rescue` every `beat_seconds`; see `LivenessMonitor` for when a worker counts as dead."""
        self._queue = queue
        self._liveness = LivenessMonitor(stale_seconds=stale_seconds, beat_seconds=beat_seconds)

    async def rescue(self) -> None:
        """Return the work of workers that were found dead."""
        foreign = await self._queue.foreign_leases()
        dead = self._liveness.observe({each.sign.worker: each.sign for each in foreign}.values())
        for each in foreign:
            if each.sign.worker in dead:
                await self._queue.rescue(each.lease, beat=each.sign.beat)


async def rescue_slot(queue: WorkQueue[Any], slot: str) -> None:
    """Return the work of the slot's previous process, which is known to be dead."""
    for each in await queue.foreign_leases():
        if each.slot == slot:
            await queue.rescue(each.lease)


def awake_clock() -> float:
    """Return seconds from a clock that keeps running while the machine is suspended, if the system has one."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)
