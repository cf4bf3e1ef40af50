"""What run workers and GPU executors share: a slot in the pool, heartbeats, and jobs pulled from the queues."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import procrastinate
from procrastinate import exceptions, jobs
from procrastinate.worker import Worker
from procrastinate.retry import BaseRetryStrategy, RetryDecision

from transcription_dagster.queueing import slots
from transcription_dagster.queueing.app import worker_app
from transcription_dagster.settings import Settings
from transcription_dagster.workers.lifecycle import MainThread, watch_stop_signals

logger = logging.getLogger(__name__)

#: Longest pause between attempts to reach a database that went away, in seconds.
_LONGEST_PAUSE = 10.0


class WorkInterrupted(Exception):  # noqa: N818  an order, not a fault
    """The worker stops before the work is done: the job goes back on its queue."""


class GoBackOnQueue(BaseRetryStrategy):
    """Interrupted work is done by whoever comes next; work that failed is not repeated by the queue."""

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> RetryDecision | None:
        return RetryDecision() if isinstance(exception, WorkInterrupted) else None


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

    def __init__(self, settings: Settings, url: str, state: WorkerState, queues: list[str], concurrency: int = 1) -> None:
        self.settings = settings
        self.state = state
        self.main = MainThread()
        self.app = worker_app(url)
        self.draining = threading.Event()
        self.aborting = threading.Event()
        self._queues = queues
        self._concurrency = concurrency
        self._worker: Worker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None

    def task(self, name: str, function: Callable[..., Awaitable[None]]) -> None:
        """Register the coroutine function that does the jobs of task `name`; it is given the job's context first."""
        self.app.task(name=name, pass_context=True, retry=GoBackOnQueue())(function)

    def serve(self, *, prepare: Callable[[], None]) -> None:
        """Call `prepare` in the main thread, then take jobs until a stop signal; raises what ended it otherwise."""
        watch_stop_signals(on_first=self.drain, on_second=self.abort)
        loop_thread = threading.Thread(target=self._run_loop, args=(prepare,), name="pool", daemon=True)
        loop_thread.start()
        self.main.serve()
        loop_thread.join()
        if self._failure is not None:
            raise self._failure

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
            try:
                await asyncio.wrap_future(self.main.call(prepare))
                pause = 0.2
                while not self.draining.is_set():
                    try:
                        await self._take_jobs()
                        pause = 0.2
                    except exceptions.ConnectorException:
                        logger.warning("the database went away; trying again in %.1f s", pause, exc_info=True)
                        await asyncio.sleep(pause * random.uniform(0.5, 1.5))
                        pause = min(2 * pause, _LONGEST_PAUSE)
            finally:
                publisher.cancel()
                await slots.leave(self.app, self.state.name)

    async def _take_jobs(self) -> None:
        """Run procrastinate's worker until it was asked to stop or lost its database."""
        self._worker = Worker(
            self.app,
            queues=self._queues,
            name=self.state.name,
            concurrency=self._concurrency,
            install_signal_handlers=False,
            shutdown_graceful_timeout=self.settings.shutdown_seconds,
            update_heartbeat_interval=self.settings.heartbeat_seconds,
            stalled_worker_timeout=max(60.0, 4 * self.settings.stale_seconds),
            abort_job_polling_interval=self.settings.heartbeat_seconds,
        )
        await slots.release_jobs(self.app, self.state.name)
        if self.draining.is_set():
            return
        self.state.state = "idle"
        await self._worker.run()

    async def _publish_state(self) -> None:
        """Write what the worker says of itself, and give back the jobs of workers that died."""
        watch = slots.DeathWatch(self.app, self.settings.stale_seconds)
        while True:
            try:
                if self._worker is not None:
                    self.state.worker_id = self._worker.worker_id
                await slots.publish(self.app, self.state, host=socket.gethostname(), pid=os.getpid())
                await watch.look()
            except exceptions.ConnectorException:
                logger.warning("could not write the worker's state; the database does not answer")
                watch.lost_sight()
            await asyncio.sleep(self.settings.heartbeat_seconds)

    async def in_main_thread(self, context: procrastinate.JobContext, function: Callable[[], Any], *, interrupt: bool) -> Any:
        """Have `function` called in the main thread and wait for it, whatever happens.

        When the job is aborted, `interrupt` says whether the main thread gets Dagster's interrupt; a function that
        looks at `should_stop` by itself needs none. Raises `WorkInterrupted` if the worker is stopping.
        """
        future = asyncio.wrap_future(self.main.call(function))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if interrupt:
                self.main.interrupt()
            await asyncio.wait([future])
            if not future.cancelled() and future.exception() is None:
                return future.result()
            if context.abort_reason() is procrastinate.job_context.AbortReason.USER_REQUEST:
                raise exceptions.JobAborted from None
            raise WorkInterrupted from None

    def job_done(self) -> None:
        """Count a job; a worker that has done its share drains, and its supervisor starts it anew."""
        self.state.jobs += 1
        limit = self.settings.max_jobs_per_worker
        if limit and self.state.jobs >= limit and not self.draining.is_set():
            logger.info("did %d jobs: making room for a fresh process", limit, extra={"action": "recycle"})
            self.drain()
