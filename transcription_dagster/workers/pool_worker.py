"""What run workers and GPU executors share: a slot in the pool, heartbeats, and jobs pulled from the queues."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import procrastinate
from procrastinate import jobs
from procrastinate.exceptions import JobAborted
from procrastinate.job_context import AbortReason
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from procrastinate.tasks import Task
from procrastinate.worker import Worker

from transcription_dagster.queueing import slots
from transcription_dagster.queueing.app import worker_app
from transcription_dagster.settings import Settings
from transcription_dagster.workers.lifecycle import MainThread, watch_stop_signals

logger = logging.getLogger(__name__)

#: Seconds between looks at a queue that told of nothing: a notification that comes while the worker looks is lost.
_LOOK_SECONDS = 0.5

#: Workers that fell silent are struck off the queue's list after so long. Their jobs are rescued much sooner; one that
#: lives, and was cut off from the database for a while, must not lose its place.
_FORGET_SECONDS = 86_400.0

Result = TypeVar("Result")


class WorkInterrupted(Exception):
    """The worker stops before the work is done: the job goes back on its queue."""


class GoBackOnQueue(BaseRetryStrategy):
    """Interrupted work is done by whoever comes next; work that failed is not repeated by the queue."""

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> RetryDecision | None:
        # A job that a user aborted is not given back either way: the queue's own function sees to it.
        return RetryDecision() if isinstance(exception, WorkInterrupted | asyncio.CancelledError) else None


@dataclass
class WorkerState:
    """What the worker says of itself in `transcription_workers`. Any thread may set a field."""

    name: str
    kind: Literal["gpu", "run"]
    device: str | None = None
    model: str | None = None
    state: Literal["starting", "idle", "busy", "draining"] = "starting"
    recording: str | None = None
    progress: float | None = None
    jobs: int = 0
    model_loads: int = 0
    last_error: str | None = None
    worker_id: int | None = field(default=None, repr=False)


class PoolWorker:
    """A worker process: `serve` blocks in the main thread until the worker was asked to stop and is done."""

    def __init__(
        self, settings: Settings, url: str, state: WorkerState, queues: list[str], concurrency: int = 1
    ) -> None:
        self.settings = settings
        self.state = state
        self.main = MainThread()
        self.app = worker_app(url)
        self.draining = threading.Event()
        self.aborting = threading.Event()
        #: Ids of the jobs that this process works on.
        self.active: set[int] = set()
        self._queues = queues
        self._concurrency = concurrency
        self._worker: Worker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None

    def task(self, name: str, function: Callable[..., Awaitable[None]]) -> Task[..., Any, ...]:
        """Register the coroutine function that does the jobs of task `name`; it is given the job's context first."""

        async def do(context: procrastinate.JobContext, **arguments: str) -> None:
            job_id = context.job.id or 0
            self.active.add(job_id)
            try:
                await function(context, **arguments)
            finally:
                # Kept a little longer than the job: its status is written only after this returns.
                asyncio.get_running_loop().call_later(2 * self.settings.heartbeat_seconds, self.active.discard, job_id)
                self._job_done()

        return self.app.task(name=name, pass_context=True, retry=GoBackOnQueue())(do)

    def serve(self, *, prepare: Callable[[], None]) -> None:
        """Call `prepare` in the main thread, then take jobs until a stop signal; raises what ended it otherwise."""
        watch_stop_signals(on_first=self.drain, on_second=self.abort)
        loop_thread = threading.Thread(target=self._run_loop, args=(prepare,), name="pool", daemon=True)
        loop_thread.start()
        self.main.serve()
        loop_thread.join()
        if self._failure is not None:
            raise self._failure

    def show(self, state: Literal["idle", "busy"]) -> None:
        """Say what the worker does now; one that is draining goes on saying so."""
        self.state.state = "draining" if self.draining.is_set() else state

    def drain(self) -> None:
        """Take no new job; end when the present ones are done."""
        logger.info("asked to stop: finishing what is under way", extra={"action": "drain"})
        self.draining.set()
        self.state.state = "draining"
        if self._loop is not None and self._worker is not None:
            self._loop.call_soon_threadsafe(self._worker.stop)

    def abort(self) -> None:
        """Give what is under way back to its queue and end."""
        logger.warning("asked again to stop: aborting what is under way", extra={"action": "abort"})
        self.aborting.set()
        self.main.interrupt()

    def _run_loop(self, prepare: Callable[[], None]) -> None:
        try:
            asyncio.run(self._live(prepare))
        except BaseException as error:  # noqa: BLE001  raised again in the main thread
            self._failure = error
        finally:
            self.main.close()

    async def _live(self, prepare: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        async with self.app.open_async():
            await slots.take(self.app, self.state.name, stale_seconds=self.settings.stale_seconds)
            publisher = asyncio.create_task(self._publish_state())
            publisher.add_done_callback(self._publisher_ended)
            try:
                await asyncio.wrap_future(self.main.call(prepare))
                await self._take_jobs()
            finally:
                publisher.cancel()
                # Its last word must not come after the row is gone.
                await asyncio.wait([publisher])
                await slots.leave(self.app, self.state.name)

    async def _take_jobs(self) -> None:
        self._worker = Worker(
            self.app,
            queues=self._queues,
            name=self.state.name,
            concurrency=self._concurrency,
            install_signal_handlers=False,
            fetch_job_polling_interval=_LOOK_SECONDS,
            shutdown_graceful_timeout=self.settings.shutdown_seconds,
            update_heartbeat_interval=self.settings.heartbeat_seconds,
            stalled_worker_timeout=_FORGET_SECONDS,
            abort_job_polling_interval=self.settings.heartbeat_seconds,
        )
        if self.draining.is_set():
            return
        self.show("idle")
        await self._worker.run()

    async def _publish_state(self) -> None:
        """Write what the worker says of itself, and give back what lost workers had taken."""
        stale, beat = self.settings.stale_seconds, self.settings.heartbeat_seconds
        watch = slots.DeathWatch(self.app, stale_seconds=stale, watch_seconds=1.5 * stale)
        suspected: set[int] = set()
        last = time.monotonic()
        while True:
            worker_id = self.state.worker_id = self._worker.worker_id if self._worker else None
            await slots.publish(self.app, self.state)
            if worker_id is not None:
                suspected = await slots.release_unknown(self.app, worker_id, self.active, suspected)
            now = time.monotonic()
            if now - last > 2 * beat:
                watch.lost_sight()
            last = now
            await watch.look()
            await asyncio.sleep(beat)

    def _publisher_ended(self, publisher: asyncio.Task[None]) -> None:
        """A worker that cannot say that it lives would be taken for dead: it ends instead."""
        if not publisher.cancelled() and publisher.exception() is not None:
            self._failure = publisher.exception()
            self.drain()

    async def in_main_thread(
        self, context: procrastinate.JobContext, function: Callable[[], Result], *, stop: threading.Event | None = None
    ) -> Result:
        """Have `function` called in the main thread and wait for it, also when the job is aborted meanwhile.

        An abort sets `stop`, for a function that looks at it; without one the main thread is interrupted as by Ctrl+C.
        Raises `JobAborted` when a user aborted the job, `WorkInterrupted` when the worker is stopping.
        """
        future = asyncio.wrap_future(self.main.call(function))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if stop is None:
                self.main.interrupt()
            else:
                stop.set()
            await asyncio.wait([future])
            if future.exception() is None:
                return future.result()
            if context.abort_reason() is AbortReason.USER_REQUEST:
                raise JobAborted from None
            raise WorkInterrupted from None

    def _job_done(self) -> None:
        """Count a job; a worker that has done its share drains, and its supervisor starts it anew."""
        self.state.jobs += 1
        limit = self.settings.max_jobs_per_worker
        if limit and self.state.jobs >= limit and not self.draining.is_set():
            logger.info("did %d jobs: making room for a fresh process", limit, extra={"action": "recycle"})
            self.drain()
