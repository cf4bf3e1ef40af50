"""The common part of run workers and GPU executors: a slot in the pool, heartbeats, and jobs from the queues."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Literal, TypeVar

import procrastinate
from procrastinate import BaseRetryStrategy, RetryDecision, jobs
from procrastinate.exceptions import ConnectorException, JobAborted
from procrastinate.job_context import AbortReason
from procrastinate.tasks import Task
from procrastinate.worker import Worker

from transcription_dagster.errors import StackError, WorkerUnfit
from transcription_dagster.pool import worker_registry
from transcription_dagster.pool.leases import HeldJob, HeldJobs, LeasingJobManager
from transcription_dagster.pool.queue import worker_app
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.settings import Settings
from transcription_dagster.store import scratch
from transcription_dagster.workers.main_thread import MainThread, watch_stop_signals

logger = logging.getLogger(__name__)

#: Seconds between polls of the queue, because a notification that arrives during a poll is lost.
_POLL_SECONDS = 0.5

#: Seconds after which silent workers are removed from the queue's list. Their jobs are requeued much sooner; a living
#: worker that was cut off from the database for a while must not lose its registration.
_FORGET_SECONDS = 86_400.0

#: Seconds between attempts of an unfit worker to recover.
_RETRY_SECONDS = 5.0

#: Seconds that a failing worker may take to record its error.
_LAST_WORD_SECONDS = 5.0

Result = TypeVar("Result")


class WorkInterrupted(Exception):
    """The worker stopped before the work was done; the job returns to its queue."""


class RequeueOnInterrupt(BaseRetryStrategy):
    """Requeues interrupted jobs; failed ones are not retried by the queue."""

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> RetryDecision | None:
        # The queue's own function never requeues a job that a user aborted.
        return RetryDecision() if isinstance(exception, WorkInterrupted | asyncio.CancelledError) else None


class PoolWorker:
    """A worker process; `serve` blocks in the main thread until the worker is asked to stop and has finished."""

    def __init__(
        self, settings: Settings, url: str, state: WorkerRecord, queues: list[str], concurrency: int = 1
    ) -> None:
        self.settings = settings
        self.state = state
        #: Scratch folder of this slot, emptied when the process starts.
        self.scratch = settings.scratch_folder / state.name
        self.main = MainThread()
        self.app = worker_app(url)
        self.draining = threading.Event()
        self.aborting = threading.Event()
        #: The jobs that this process holds.
        self.held = HeldJobs()
        #: Returns whether the work itself allows another job to be taken now.
        self.may_take: Callable[[], bool] = lambda: True
        #: For how many seconds to leave the next job to others.
        self.pause: Callable[[], float] = lambda: 0.0
        #: Writes into the record what changes all the time, before it is published.
        self.describe: Callable[[], None] = lambda: None
        self.app.job_manager = LeasingJobManager(
            self.app,
            self.held,
            may_take=lambda: self._fit and not self._has_its_share() and self.may_take(),
            pause=lambda: self.pause(),
            is_over=self.draining.is_set,
        )
        self._fit = True
        #: Checks that the worker can work; called in the main thread until it no longer raises `WorkerUnfit`.
        self._prepare: Callable[[], None] = self.try_scratch
        self._queues = queues
        self._concurrency = concurrency
        self._worker: Worker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None

    def task(self, name: str, function: Callable[..., Awaitable[None]]) -> Task[..., Any, ...]:
        """Register the coroutine function for jobs of the task `name`; its first argument is the job's context."""

        async def do(context: procrastinate.JobContext, **arguments: str) -> None:
            self.holding(context).task = asyncio.current_task()
            try:
                await function(context, **arguments)
            finally:
                self._job_done()

        return self.app.task(name=name, pass_context=True, retry=RequeueOnInterrupt())(do)

    def holding(self, context: procrastinate.JobContext) -> HeldJob:
        """Return the record of a held job. Raises `WorkInterrupted` if it was already requeued."""
        holding = self.held.jobs.get(context.job.id or 0)
        if holding is None:
            raise WorkInterrupted
        return holding

    def serve(self, *, prepare: Callable[[], None]) -> None:
        """Call `prepare` in the main thread, then take jobs until a stop signal; raises any other cause of its end.

        If the scratch folder is unusable or `prepare` raises `WorkerUnfit`, the worker reports that and tries again.
        """

        def prepare_all() -> None:
            self.try_scratch()
            prepare()

        self._prepare = prepare_all
        watch_stop_signals(on_first=self.drain, on_second=self.abort)
        loop_thread = threading.Thread(target=self._run_loop, name="pool", daemon=True)
        loop_thread.start()
        self.main.serve()
        loop_thread.join()
        if self._failure is not None:
            raise self._failure

    def try_scratch(self) -> None:
        """Raise `WorkerUnfit` if the scratch folder cannot be used."""
        scratch.try_out(self.scratch)

    @property
    def fit(self) -> bool:
        """Return whether the worker can work on this machine."""
        return self._fit

    def show(self, state: Literal["idle", "busy"]) -> None:
        """Set the worker's displayed state, unless it is draining or unfit."""
        if self.draining.is_set():
            self.state.state = "draining"
        else:
            self.state.state = state if self._fit else "unfit"

    def unfit(self, error: WorkerUnfit) -> None:
        """Take no new job until the worker recovers. Call in the event loop."""
        logger.error("cannot work, and takes no jobs until it can: %s", error, extra={"action": "unfit"})
        self.state.last_error = str(error)
        if self._fit:
            self._fit = False
            self.show("idle")
            recovery = asyncio.get_running_loop().create_task(self._recover())
            recovery.add_done_callback(self._side_task_ended)

    async def _recover(self) -> None:
        """Wait until the worker can work."""
        while not self.draining.is_set():
            await asyncio.sleep(_RETRY_SECONDS)
            try:
                await asyncio.wrap_future(self.main.call(self._prepare))
            except WorkerUnfit as error:
                self.state.last_error = str(error)
            else:
                logger.info("can work again", extra={"action": "fit"})
                self._fit, self.state.last_error = True, None
                self.show("idle")
                return

    def drain(self) -> None:
        """Take no new job, and end when the current ones are done."""
        logger.info("asked to stop: finishing what is under way", extra={"action": "drain"})
        self.draining.set()
        self.state.state = "draining"
        if self._loop is not None and self._worker is not None:
            self._loop.call_soon_threadsafe(self._worker.stop)

    def abort(self) -> None:
        """Requeue the current jobs and end."""
        logger.warning("asked again to stop: aborting what is under way", extra={"action": "abort"})
        self.aborting.set()
        self.main.interrupt()

    def _run_loop(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:  # noqa: BLE001  raised again in the main thread
            self._failure = error
        finally:
            self.main.close()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        stale, beat = self.settings.stale_seconds, self.settings.heartbeat_seconds
        async with self.app.open_async():
            await worker_registry.take(self.app, self.state, stale_seconds=stale, beat_seconds=beat)
            publisher = asyncio.create_task(self._publish_state())
            publisher.add_done_callback(self._side_task_ended)
            try:
                await self._start()
                await self._take_jobs()
            except Exception as error:
                publisher.cancel()
                await asyncio.wait([publisher])
                await self._say_why(error)
                raise
            else:
                publisher.cancel()
                # A last heartbeat must not recreate the row.
                await asyncio.wait([publisher])
                await worker_registry.leave(self.app, self.state)

    async def _say_why(self, error: Exception) -> None:
        """Leave the row with the error, which explains why there is no worker."""
        self.state.last_error = str(error)
        try:
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                await worker_registry.publish_record(self.app, self.state)
        except (TimeoutError, ConnectorException) as failure:
            logger.warning("could not write why this worker ends: %r", failure)

    async def _start(self) -> None:
        """Empty the scratch folder and prepare, repeatedly until the worker can work on this machine."""
        try:
            # A killed process may have left files as large as a source.
            await asyncio.to_thread(shutil.rmtree, self.scratch, ignore_errors=True)
            await asyncio.wrap_future(self.main.call(self._prepare))
        except WorkerUnfit as error:
            logger.error("cannot work, and tries again: %s", error, extra={"action": "unfit"})
            self.state.last_error, self.state.state = str(error), "unfit"
            await self._recover()

    async def _take_jobs(self) -> None:
        self._worker = Worker(
            self.app,
            queues=self._queues,
            name=self.state.name,
            concurrency=self._concurrency,
            install_signal_handlers=False,
            fetch_job_polling_interval=_POLL_SECONDS,
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
        """Publish the worker's state, check which jobs are still its own, and requeue those of dead workers."""
        stale, beat = self.settings.stale_seconds, self.settings.heartbeat_seconds
        reaper = worker_registry.OrphanReaper(self.app, stale_seconds=stale, beat_seconds=beat)
        while True:
            self.describe()
            worker_id = self.state.worker_id = self._worker.worker_id if self._worker else None
            if not await worker_registry.publish_record(self.app, self.state):
                self._stop_work(list(self.held.jobs.values()))
                raise StackError(
                    f"another process is worker {self.state.name} now: this one was silent for too long, "
                    "or two were started in one slot"
                )
            if worker_id is not None:
                self._stop_work(await self.held.reconcile(self.app, worker_id))
            await reaper.reap(worker_id)
            await asyncio.sleep(beat)

    def _stop_work(self, taken: list[HeldJob]) -> None:
        """Stop working on jobs that now belong to other workers."""
        for holding in taken:
            logger.warning(
                "job %d was given to another worker: stopping the work on it",
                holding.lease.job_id,
                extra={"action": "fenced"},
            )
            holding.lost = True
            if holding.task is not None:
                holding.task.cancel()

    def _side_task_ended(self, task: asyncio.Task[None]) -> None:
        """End the worker if a side task failed: without heartbeats it would be taken for dead."""
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self.drain()

    async def in_main_thread(
        self, context: procrastinate.JobContext, function: Callable[[], Result], *, stop: threading.Event | None = None
    ) -> Result:
        """Call `function` in the main thread and wait for it, even if the job is aborted meanwhile.

        An abort sets `stop`, which the function polls; without `stop` the main thread is interrupted as by Ctrl+C.
        Raises `JobAborted` if a user aborted the job, and `WorkInterrupted` if the worker is stopping.
        """
        return await self.result(context, self.main.call(function), stop=stop)

    async def result(
        self, context: procrastinate.JobContext, called: Future[Result], *, stop: threading.Event | None = None
    ) -> Result:
        """Wait for work that was begun in the main thread, or in another thread that looks at `stop`; see above."""
        future = asyncio.wrap_future(called)
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

    def _has_its_share(self) -> bool:
        """Whether the worker has as many jobs, with those that are done, as it may do in its life."""
        limit = self.settings.max_jobs_per_worker
        return limit > 0 and self.state.jobs + len(self.held) >= limit

    def _job_done(self) -> None:
        """Count a finished job; after a set number the worker drains and its supervisor restarts it."""
        self.state.jobs += 1
        limit = self.settings.max_jobs_per_worker
        if limit and self.state.jobs >= limit and not self.draining.is_set():
            logger.info("did %d jobs: making room for a fresh process", limit, extra={"action": "recycle"})
            self.drain()
