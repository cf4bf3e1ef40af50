"""The interface between a worker and its queue: work is claimed under a lease.

A worker without heartbeats may lose its work to others. A lease identifies one claim of one piece of work, and expires
when the work returns to its queue. The queues' SQL refuses results that are reported under an expired lease.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from transcription_dagster.pool.connection import PatientConnector
from transcription_dagster.pool.liveness import Heartbeat, LivenessMonitor

#: A run's job, or the key of an inference request.
WorkId = int | str


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's claim of one piece of work."""

    work: WorkId
    #: The worker's id in the queue; None if the queue has forgotten it.
    holder: int | str | None
    #: Distinguishes claims of the same work by the same worker.
    number: int

    def parameters(self) -> dict[str, int | str | None]:
        """Return the lease as named parameters of a statement."""
        return {"work": self.work, "holder": self.holder, "number": self.number}


@dataclass(slots=True)
class Claim:
    """A piece of work that a worker has claimed."""

    lease: Lease
    #: Name of the task, which selects the function that does the work.
    task: str


ClaimT = TypeVar("ClaimT", bound=Claim)


@dataclass(frozen=True, slots=True)
class ForeignLease:
    """A lease of another worker, with that worker's heartbeat."""

    lease: Lease
    #: Token of the worker's process; None if it is no longer registered.
    token: str | None
    heartbeat: Heartbeat


class WorkQueue(Protocol[ClaimT]):
    """The queue from which a worker takes its work. All methods wait through outages of the database."""

    @property
    def connector(self) -> PatientConnector:
        """The worker's connections."""
        ...

    async def open(self) -> None:
        """Open the connections, and register the worker if the queue requires it."""
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
        """Return the valid leases of this worker; the value says whether a user canceled the work."""
        ...

    async def foreign_leases(self) -> list[ForeignLease]:
        """Return the valid leases of all other workers."""
        ...

    async def rescue(self, lease: Lease, *, beat: str | None = None) -> None:
        """Return a lost worker's work to the queue.

        Does nothing if the lease has expired, or if its worker sent a heartbeat after `beat` was observed.
        """
        ...

    async def watch(self, on_change: Callable[[WorkId], None]) -> None:
        """Call `on_change` for each piece of work that is queued, canceled or ended by others, until canceled."""
        ...


@dataclass(eq=False)
class HeldWork(Generic[ClaimT]):
    """Work in progress on this worker."""

    claim: ClaimT
    #: When the lease was last confirmed, by `awake_clock`.
    confirmed_at: float
    #: The asyncio task that does the work.
    task: asyncio.Task[Any] | None = field(default=None, repr=False)
    #: True once the task was asked to stop.
    stopping: bool = False
    #: True while the result is being stored.
    ending: bool = False
    #: True once another worker holds the work.
    lost: bool = False

    def stop(self) -> None:
        """Stop the work, once."""
        if self.task is not None and not self.stopping:
            self.stopping = True
            self.task.cancel()


class Rescuer:
    """Requeues the work of dead workers."""

    def __init__(self, queue: WorkQueue[Any], *, stale_seconds: float, beat_seconds: float) -> None:
        """Call `rescue` every `beat_seconds`; see `LivenessMonitor` for when a worker counts as dead."""
        self._queue = queue
        self._liveness = LivenessMonitor(stale_seconds=stale_seconds, beat_seconds=beat_seconds)

    async def rescue(self) -> None:
        """Requeue the work of workers that were found dead."""
        foreign = await self._queue.foreign_leases()
        dead = self._liveness.observe(
            {foreign_lease.heartbeat.worker: foreign_lease.heartbeat for foreign_lease in foreign}.values()
        )
        for foreign_lease in foreign:
            if foreign_lease.heartbeat.worker in dead:
                await self._queue.rescue(foreign_lease.lease, beat=foreign_lease.heartbeat.beat)


async def rescue_all(queue: WorkQueue[Any], *, of: str | None) -> None:
    """Requeue the work of the process with this token, which is known to be dead."""
    for foreign_lease in await queue.foreign_leases():
        if foreign_lease.token is not None and foreign_lease.token == of:
            await queue.rescue(foreign_lease.lease)


def awake_clock() -> float:
    """Return seconds from a clock that keeps running while the machine is suspended, if there is one."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)
