"""The loop in which a worker claims work from its queue, executes it, and reports the result."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic

from procrastinate.exceptions import ConnectorException

from transcription_dagster.errors import StackError, TranscriptionError
from transcription_dagster.pool.work_queue import ClaimT, HeldWork, Lease, WorkId, WorkQueue, awake_clock

logger = logging.getLogger(__name__)

#: Seconds between checks while the worker may take no work.
_GATE_SECONDS = 0.1

#: Seconds after which a task that has not ended is canceled again.
_CANCEL_SECONDS = 1.0


class WorkInterrupted(Exception):
    """The worker stopped before the work was done. The work returns to its queue with this reason."""

    def __init__(self, reason: str = "the executor was stopped") -> None:
        super().__init__(reason)


async def end_task(task: asyncio.Task[None]) -> None:
    """Cancel `task` until it has ended: before Python 3.12 `asyncio.wait_for`, which libraries use, may lose one."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_SECONDS)


class WorkLoop(Generic[ClaimT]):
    """A worker's work in its event loop: any number of pieces at a time."""

    def __init__(
        self,
        queue: WorkQueue[ClaimT],
        *,
        draining: threading.Event,
        shutdown_seconds: float,
        may_take: Callable[[], bool],
        pause: Callable[[], float],
        done: Callable[[], None],
        start_background: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        """`may_take` returns whether more work may be claimed now; `pause`, for how many seconds to leave it to others.

        `done` is called when work has ended. `start_background` starts a task without which the worker must end.
        """
        self.queue = queue
        #: The work in progress in this process.
        self.held: dict[Lease, HeldWork[ClaimT]] = {}
        #: Set when a lease may have expired, so that `reconcile` checks.
        self.doubt = asyncio.Event()
        self._draining = draining
        self._shutdown_seconds = shutdown_seconds
        self._may_take, self._pause, self._done, self._start_background = may_take, pause, done, start_background
        self._functions: dict[str, Callable[[HeldWork[ClaimT]], Awaitable[Any]]] = {}
        self._awake = asyncio.Event()
        #: Held during a claim, whose lease is not in `held` yet.
        self._claiming = asyncio.Lock()

    def task(self, name: str, function: Callable[[HeldWork[ClaimT]], Awaitable[Any]]) -> None:
        """Register the coroutine function for work of the task `name`. Its result is reported to the queue."""
        self._functions[name] = function

    def wake(self) -> None:
        """Check for work, because some was queued or the worker may now take more. Call it in the event loop."""
        self._awake.set()

    async def run(self) -> None:
        """Claim work whenever there is some and the worker may take it, until it drains and the last work is done."""
        watcher = self._start_background(self.queue.watch(self._changed))
        try:
            while not self._draining.is_set():
                # Cleared before the check, so that later events wake the loop again.
                self._awake.clear()
                if not self._may_take():
                    await self._woken(_GATE_SECONDS)
                    continue
                await asyncio.sleep(self._pause())
                if not self._draining.is_set() and not await self._take_one():
                    await self._woken(None)
        finally:
            await end_task(watcher)
        await self._finish_all()

    async def _woken(self, seconds: float | None) -> None:
        """Wait for an event, or for this many seconds. Heartbeats wake too, since notifications may get lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._awake.wait()

    async def _take_one(self) -> bool:
        """Claim work and start it; return False if there is none."""
        async with self._claiming:
            checked_at = awake_clock()
            claim = await self.queue.claim()
            if claim is None:
                return False
            held = self.held[claim.lease] = HeldWork(claim, checked_at)
            held.task = asyncio.create_task(self._do(held))
        self._start_background(self._carry_out(held))
        # Let it start: its kind decides whether more work may be claimed beside it.
        await asyncio.sleep(0)
        return True

    async def _do(self, held: HeldWork[ClaimT]) -> Any:
        function = self._functions.get(held.claim.task)
        if function is None:
            raise StackError(f"this worker knows no task {held.claim.task!r}: upgrade the program on this machine")
        return await function(held)

    async def _carry_out(self, held: HeldWork[ClaimT]) -> None:
        """Wait for the work and report its result to the queue."""
        assert held.task is not None  # noqa: S101  set when the work was started
        await asyncio.wait([held.task])
        held.ending = True
        try:
            await self._report(held.claim, held.task)
        finally:
            del self.held[held.claim.lease]
            self._done()
            self.wake()

    async def _report(self, claim: ClaimT, task: asyncio.Task[Any]) -> None:
        try:
            result = task.result()
        except asyncio.CancelledError:
            await self.queue.give_back(claim, str(WorkInterrupted()))
        except WorkInterrupted as interrupted:
            await self.queue.give_back(claim, str(interrupted))
        except TranscriptionError as error:
            await self.queue.fail(claim, error)
        except Exception as error:
            logger.exception("the work failed with an unexpected error", extra={"action": "fault"})
            await self.queue.fail(claim, error)
        else:
            await self._finish(claim, result)

    async def _finish(self, claim: ClaimT, result: Any) -> None:
        try:
            await self.queue.finish(claim, result)
        except ConnectorException as error:
            # The database is reachable but refuses the result, such as a number that JSON cannot represent.
            logger.exception("the database refused what the work returned", extra={"action": "fault"})
            await self.queue.fail(claim, error)

    async def _finish_all(self) -> None:
        """Finish the work in progress; after `shutdown_seconds`, return it to the queue."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._shutdown_seconds
        while self.held:
            seconds_left = deadline - clock()
            if seconds_left <= 0:
                for held in self.held.values():
                    held.stop()
            self._awake.clear()
            await self._woken(seconds_left if seconds_left > 0 else None)

    def _changed(self, work: WorkId) -> None:
        ours = any(lease.work == work for lease in self.held)
        (self.doubt if ours else self._awake).set()

    async def reconcile(self) -> None:
        """Compare the work in progress with the queue's leases.

        Work that was canceled or given to another worker is stopped. Leases that this worker does not know about,
        because the database's answer to the claim was lost, are returned to the queue.
        """
        self.doubt.clear()
        async with self._claiming:
            before, checked_at = dict(self.held), awake_clock()
            leases = await self.queue.leases()
        for lease, held in before.items():
            if lease in leases:
                held.confirmed_at = checked_at
                if leases[lease]:
                    held.stop()
            elif not held.ending:
                self._lose(held)
        for lease in leases.keys() - before.keys():
            await self.queue.rescue(lease)

    def lose_all(self) -> None:
        """Stop all work: another process has taken this worker's slot."""
        for held in list(self.held.values()):
            self._lose(held)

    def _lose(self, held: HeldWork[ClaimT]) -> None:
        if not held.lost:
            logger.warning(
                "%s was canceled or given to another worker: stopping the work on it",
                held.claim.lease.work,
                extra={"action": "fenced"},
            )
            held.lost = True
        held.stop()
