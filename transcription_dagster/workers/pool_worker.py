"""The common part of run workers and GPU executors: a slot, heartbeats, work from a queue, and changed settings."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, Literal, TypeVar

from procrastinate.exceptions import ConnectorException

from transcription_dagster.database.connection import open_database
from transcription_dagster.database.settings_documents import current_version
from transcription_dagster.errors import DatabaseUnavailable, StackError, WorkerUnfit
from transcription_dagster.pool import worker_registry
from transcription_dagster.pool.work_queue import ClaimT, Rescuer, WorkQueue
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.settings import Settings
from transcription_dagster.store.scratch import try_out
from transcription_dagster.workers.main_thread import MainThread, watch_stop_signals
from transcription_dagster.workers.work_loop import WorkInterrupted, WorkLoop, end_task

logger = logging.getLogger(__name__)

#: Seconds between attempts of an unfit worker to recover.
_RETRY_SECONDS = 5.0

#: Seconds that a stopped worker without work may take to leave, and between looks at whether it has.
_LEAVE_SECONDS, _LEAVE_POLL_SECONDS = 10.0, 0.5

#: Seconds that a failing worker may take to record its error.
_ERROR_SECONDS = 5.0

#: Seconds between looks at the version of the settings. Every run checks before it starts, so this only delays the
#: restart of an idle worker.
_SETTINGS_SECONDS = 5.0

Result = TypeVar("Result")


class PoolWorker(Generic[ClaimT]):
    """A worker process. `serve` blocks in the main thread until the worker has stopped."""

    def __init__(self, settings: Settings, record: WorkerRecord, queue: WorkQueue[ClaimT]) -> None:
        self.settings = settings
        self.record = record
        self.queue = queue
        #: Scratch folder of this slot, emptied when the process starts.
        self.scratch = settings.scratch_folder / record.name
        self.main = MainThread()
        self.draining = threading.Event()
        self.aborting = threading.Event()
        #: Returns whether the kind of worker can take more work now.
        self.may_take: Callable[[], bool] = lambda: not self.work.held
        #: Returns the seconds for which the next piece of work is left to other workers.
        self.pause: Callable[[], float] = lambda: 0.0
        #: Updates frequently changing fields of the record before it is published.
        self.describe: Callable[[], None] = lambda: None
        self._connector = queue.connector
        self.work = WorkLoop(
            queue,
            draining=self.draining,
            shutdown_seconds=settings.shutdown_seconds,
            may_take=lambda: self._fit and not self._reached_limit() and self.may_take(),
            pause=lambda: self.pause(),
            done=self._work_done,
            start_background=self._start_background,
        )
        self._fit = True
        #: Checks that the worker can work; called in the main thread until it no longer raises `WorkerUnfit`.
        self._prepare: Callable[[], None] = self.try_scratch
        self._loop: asyncio.AbstractEventLoop | None = None
        #: References to background tasks, which asyncio itself does not keep.
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    def serve(self, *, prepare: Callable[[], None]) -> None:
        """Call `prepare` in the main thread, then take work until a stop signal. Any other cause of its end is raised.

        If the scratch folder is unusable or `prepare` raises `WorkerUnfit`, the worker reports this and tries again.
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
        """Raise `WorkerUnfit` if the scratch folder is unusable."""
        try_out(self.scratch)

    @property
    def fit(self) -> bool:
        """Return whether the worker can work on this machine."""
        return self._fit

    def show(self, state: Literal["idle", "busy"]) -> None:
        """Set the displayed state of the worker, unless it is draining or unfit."""
        if self.draining.is_set():
            self.record.state = "draining"
        else:
            self.record.state = state if self._fit else "unfit"

    def unfit(self, error: WorkerUnfit) -> None:
        """Stop taking new work until the worker recovers. Call it in the event loop."""
        logger.error("unfit, taking no work until this worker recovers: %s", error, extra={"action": "unfit"})
        self.record.last_error = str(error)
        if self._fit:
            self._fit = False
            self.show("idle")
            self._start_background(self._recover())

    async def _recover(self) -> None:
        """Wait until the worker can work."""
        while not self.draining.is_set():
            await asyncio.sleep(_RETRY_SECONDS)
            try:
                await asyncio.wrap_future(self.main.call(self._prepare))
            except WorkerUnfit as error:
                self.record.last_error = str(error)
            else:
                logger.info("can work again", extra={"action": "fit"})
                self._fit, self.record.last_error = True, None
                self.show("idle")
                self.work.wake()
                return

    def drain(self) -> None:
        """Stop taking new work, and end when the work in progress is done."""
        logger.info("stopping: finishing the work in progress", extra={"action": "drain"})
        self.draining.set()
        self.record.state = "draining"
        if self._loop is not None:
            # A worker that has already ended has closed its loop.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.work.wake)

    def abort(self) -> None:
        """Return the work in progress to the queue and end."""
        logger.warning("second stop signal: aborting the work in progress", extra={"action": "abort"})
        self.aborting.set()
        self.main.interrupt()

    def _run_loop(self) -> None:
        try:
            asyncio.run(self._live_until_drained())
        except BaseException as error:  # noqa: BLE001  raised again in the main thread
            self._failure = error
        finally:
            self.main.close()

    async def _live_until_drained(self) -> None:
        """Live, and end soon after a stop even if the database is away: a worker without work loses nothing by it."""
        life = asyncio.create_task(self._live())
        seconds_idle = 0.0
        while not life.done():
            await asyncio.wait([life], timeout=_LEAVE_POLL_SECONDS)
            seconds_idle += _LEAVE_POLL_SECONDS
            if not self.draining.is_set() or self.work.held:
                seconds_idle = 0.0
            elif seconds_idle >= _LEAVE_SECONDS:
                logger.warning("the database does not answer: leaving without freeing the slot")
                for task in (life, *self._tasks):
                    await end_task(task)
        if not life.cancelled():
            life.result()

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        stale, beat = self.settings.stale_seconds, self.settings.heartbeat_seconds
        await self.queue.open()
        try:
            await worker_registry.claim_slot(
                self._connector, self.record, self.queue, stale_seconds=stale, beat_seconds=beat
            )
            publisher = self._start_background(self._publish_state())
            try:
                await self._start()
                self.show("idle")
                await self.work.run()
            except Exception as error:
                await end_task(publisher)
                await self._record_error(error)
                raise
            else:
                # A late heartbeat must not recreate the row.
                await end_task(publisher)
                await worker_registry.free_slot(self._connector, self.record)
        finally:
            await self.queue.connector.close_async()

    def _start_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a background task; if it fails, the worker ends."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._background_task_ended)
        return task

    async def _record_error(self, error: Exception) -> None:
        """Leave the row with the error, so that `status` can show why the worker is missing."""
        self.record.last_error = str(error)
        try:
            async with asyncio.timeout(_ERROR_SECONDS):
                await worker_registry.publish_record(self._connector, self.record)
        except (TimeoutError, ConnectorException) as failure:
            logger.warning("could not record the error that ends this worker: %r", failure)

    async def _start(self) -> None:
        """Empty the scratch folder and prepare, repeatedly until the worker can work on this machine."""
        try:
            # A killed process may have left files as large as a source.
            await asyncio.to_thread(shutil.rmtree, self.scratch, ignore_errors=True)
            await asyncio.wrap_future(self.main.call(self._prepare))
        except WorkerUnfit as error:
            logger.error("unfit, trying again: %s", error, extra={"action": "unfit"})
            self.record.last_error, self.record.state = str(error), "unfit"
            await self._recover()

    async def _publish_state(self) -> None:
        """Publish the worker's state, check its leases, and rescue the work of dead workers."""
        beat = self.settings.heartbeat_seconds
        rescuer = Rescuer(self.queue, stale_seconds=self.settings.stale_seconds, beat_seconds=beat)
        while True:
            self.describe()
            if not await worker_registry.publish_record(self._connector, self.record):
                self.work.lose_all()
                raise StackError(
                    f"another process is worker {self.record.name} now: this one sent no heartbeats for too long, "
                    "or two were started in one slot"
                )
            await self.work.reconcile()
            await rescuer.rescue()
            self.work.wake()
            with suppress(TimeoutError):
                async with asyncio.timeout(beat):
                    await self.work.doubt.wait()

    def _background_task_ended(self, task: asyncio.Task[None]) -> None:
        """End the worker if a background task failed: without heartbeats others would consider it dead."""
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self.drain()

    async def in_main_thread(self, function: Callable[[], Result], *, stop: threading.Event | None = None) -> Result:
        """Call `function` in the main thread and wait for it, even if the work is stopped meanwhile.

        A stop sets `stop`, which the function polls. Without `stop`, the main thread is interrupted as by Ctrl+C.
        Raises `WorkInterrupted` if the work was stopped before its end.
        """
        return await self.result(self.main.call(function), stop=stop)

    async def result(self, called: Future[Result], *, stop: threading.Event | None = None) -> Result:
        """Wait for work that was started in the main thread or in a thread that polls `stop`; see `in_main_thread`."""
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
            raise WorkInterrupted from None

    def _reached_limit(self) -> bool:
        """Return whether the worker has reached its maximum number of jobs, including those in progress."""
        limit = self.settings.max_jobs_per_worker
        return limit > 0 and self.record.jobs + len(self.work.held) >= limit

    def _work_done(self) -> None:
        """Count finished work. After the maximum number of jobs the worker drains, and its supervisor restarts it."""
        self.record.jobs += 1
        limit = self.settings.max_jobs_per_worker
        if limit and self.record.jobs >= limit and not self.draining.is_set():
            logger.info("reached the limit of %d jobs: ending for a new process", limit, extra={"action": "recycle"})
            self.drain()


class SettingsWatch:
    """Drains a worker when the settings in the database change, so that a new process replaces it."""

    def __init__(self, url: str, version: int, worker: PoolWorker[Any]) -> None:
        self._engine = open_database(url)
        self._version = version
        self._worker = worker

    def start(self) -> None:
        """Poll in a separate thread until the worker drains for any reason."""
        threading.Thread(target=self._poll, name="settings", daemon=True).start()

    def outdated(self) -> bool:
        """Return True, and drain the worker, if the settings changed. Raises `DatabaseUnavailable`."""
        version = current_version(self._engine)
        if version == self._version:
            return False
        if not self._worker.draining.is_set():
            logger.info(
                "the settings are at version %s and this process uses version %d: ending it for a new process",
                version,
                self._version,
                extra={"action": "settings"},
            )
            self._worker.drain()
        return True

    def _poll(self) -> None:
        while not self._worker.draining.wait(_SETTINGS_SECONDS):
            try:
                self.outdated()
            except DatabaseUnavailable:
                continue
        self._engine.dispose()
