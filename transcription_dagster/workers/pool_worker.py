"""What run workers and GPU executors share: a slot in the pool, heartbeats, and jobs pulled from the queues."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

import procrastinate
from procrastinate import BaseRetryStrategy, RetryDecision, jobs
from procrastinate.exceptions import ConnectorException, JobAborted
from procrastinate.job_context import AbortReason
from procrastinate.tasks import Task
from procrastinate.worker import Worker

from transcription_dagster.errors import StackError, WorkerUnfit
from transcription_dagster.pool import worker_registry
from transcription_dagster.pool.leases import Hands, Holding, LeasingJobManager
from transcription_dagster.pool.queue import worker_app
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.settings import Settings
from transcription_dagster.store import scratch
from transcription_dagster.workers.main_thread import MainThread, watch_stop_signals

logger = logging.getLogger(__name__)

#: Seconds between looks at a queue that told of nothing: a notification that comes while the worker looks is lost.
_POLL_SECONDS = 0.5

#: Workers that fell silent are struck off the queue's list after so long. Their jobs are rescued much sooner; one that
#: lives, and was cut off from the database for a while, must not lose its place.
_FORGET_SECONDS = 86_400.0

#: Seconds between tries of a worker that cannot work.
_RETRY_SECONDS = 5.0

#: Seconds that a worker which ends over an error may take to write which.
_LAST_WORD_SECONDS = 5.0

Result = TypeVar("Result")


class WorkInterrupted(Exception):
    """The worker stops before the work is done: the job goes back on its queue."""


class RequeueOnInterrupt(BaseRetryStrategy):
    """Interrupted work is done by whoever comes next; work that failed is not repeated by the queue."""

    def get_retry_decision(self, *, exception: BaseException, job: jobs.Job) -> RetryDecision | None:
        # A job that a user aborted is not given back either way: the queue's own function sees to it.
        return RetryDecision() if isinstance(exception, WorkInterrupted | asyncio.CancelledError) else None


class PoolWorker:
    """A worker process: `serve` blocks in the main thread until the worker was asked to stop and is done."""

    def __init__(
        self, settings: Settings, url: str, state: WorkerRecord, queues: list[str], concurrency: int = 1
    ) -> None:
        self.settings = settings
        self.state = state
        #: This slot's own; what is in it does not outlive the process.
        self.scratch = settings.scratch_folder / state.name
        self.main = MainThread()
        self.app = worker_app(url)
        self.draining = threading.Event()
        self.aborting = threading.Event()
        #: The jobs that this process has taken.
        self.hands = Hands()
        #: Whether another job may be taken now, as far as the work itself says.
        self.may_take: Callable[[], bool] = lambda: True
        self.app.job_manager = LeasingJobManager(
            self.app, self.hands, may_take=lambda: self._fit and self.may_take(), is_over=self.draining.is_set
        )
        self._fit = True
        #: Tries whether the worker can work; called in the main thread until it no longer raises `WorkerUnfit`.
        self._prepare: Callable[[], None] = self.try_scratch
        self._queues = queues
        self._concurrency = concurrency
        self._worker: Worker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None

    def task(self, name: str, function: Callable[..., Awaitable[None]]) -> Task[..., Any, ...]:
        """Register the coroutine function that does the jobs of task `name`; it is given the job's context first."""

        async def do(context: procrastinate.JobContext, **arguments: str) -> None:
            self.holding(context).task = asyncio.current_task()
            try:
                await function(context, **arguments)
            finally:
                self._job_done()

        return self.app.task(name=name, pass_context=True, retry=RequeueOnInterrupt())(do)

    def holding(self, context: procrastinate.JobContext) -> Holding:
        """What this process knows of a job that it has. Raises `WorkInterrupted` if it was given back already."""
        holding = self.hands.holdings.get(context.job.id or 0)
        if holding is None:
            raise WorkInterrupted
        return holding

    def serve(self, *, prepare: Callable[[], None]) -> None:
        """Call `prepare` in the main thread, then take jobs until a stop signal; raises what ended it otherwise.

        A worker whose scratch folder cannot be used, or whose `prepare` raises `WorkerUnfit`, says so and tries again.
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
        """Whether this machine lets the worker work."""
        return self._fit

    def show(self, state: Literal["idle", "busy"]) -> None:
        """Say what the worker does now; one that is draining or unfit goes on saying so."""
        if self.draining.is_set():
            self.state.state = "draining"
        else:
            self.state.state = state if self._fit else "unfit"

    def unfit(self, error: WorkerUnfit) -> None:
        """Take no new job until the worker can work again; to be called in the event loop."""
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
                # Its last word must not come after the row is gone.
                await asyncio.wait([publisher])
                await worker_registry.leave(self.app, self.state)

    async def _say_why(self, error: Exception) -> None:
        """Leave the row, for others to see why there is no worker."""
        self.state.last_error = str(error)
        try:
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                await worker_registry.publish_record(self.app, self.state)
        except (TimeoutError, ConnectorException) as failure:
            logger.warning("could not write why this worker ends: %r", failure)

    async def _start(self) -> None:
        """Empty the scratch folder and prepare, again and again while this machine does not let the worker work."""
        try:
            # What a process left that was killed can be as large as a source.
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
        """Write what the worker says of itself, see what is still its own, and give back what dead workers had."""
        stale, beat = self.settings.stale_seconds, self.settings.heartbeat_seconds
        reaper = worker_registry.OrphanReaper(self.app, stale_seconds=stale, beat_seconds=beat)
        while True:
            worker_id = self.state.worker_id = self._worker.worker_id if self._worker else None
            if not await worker_registry.publish_record(self.app, self.state):
                self._stop_work(list(self.hands.holdings.values()))
                raise StackError(
                    f"another process is worker {self.state.name} now: this one was silent for too long, "
                    "or two were started in one slot"
                )
            if worker_id is not None:
                self._stop_work(await self.hands.reconcile(self.app, worker_id))
            await reaper.reap(worker_id)
            await asyncio.sleep(beat)

    def _stop_work(self, taken: list[Holding]) -> None:
        """Stop working on jobs that others have now."""
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
        """A worker that cannot say that it lives would be taken for dead: it ends instead."""
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
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
