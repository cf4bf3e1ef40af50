"""A GPU executor: holds the model, and pulls as many recordings as the device works on together."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

import procrastinate
from procrastinate.exceptions import JobAborted

from transcription_dagster.errors import (
    DeviceBroken,
    EngineMissing,
    ModelUnavailable,
    TranscriptionAborted,
    TranscriptionError,
    WorkerUnfit,
)
from transcription_dagster.pool import inference_server
from transcription_dagster.pool.devices import pinned_device
from transcription_dagster.pool.inference_work import EmbeddingWork, SpeakersWork, TranscriptionWork, Work
from transcription_dagster.pool.names import ANY_GPU, EMBED_TASK, SPEAKERS_TASK, TRANSCRIBE_TASK, gpu_queue
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.settings import RUNS_AHEAD, Settings
from transcription_dagster.store.scratch import machine_errors, new_folder
from transcription_dagster.store.shared_files import local_path
from transcription_dagster.whisper.engine import SpeechEngine
from transcription_dagster.workers.pool_worker import PoolWorker, WorkInterrupted
from transcription_dagster.workers.settings_watch import SettingsWatch
from transcription_dagster.workers.sharing import Sharing
from transcription_dagster.workers.throughput import Job, Throughput

logger = logging.getLogger(__name__)

#: How long another thread may keep a GPU's thread waiting.
_SWITCH_SECONDS = 0.0002

#: How often the progress of a request is written for those who watch.
_REPORT_SECONDS = 1.0


class GpuExecutor:
    """One device (`cuda:0`, `cpu:0`), one model in memory, many recordings at a time."""

    def __init__(self, settings: Settings, url: str, device: str, settings_version: int | None = None) -> None:
        """`settings_version` is the one that `settings` were read at; None: they never change."""
        # A CPU executor is `cpu:0`; to torch there is but one CPU.
        torch_device = "cpu" if device.startswith("cpu") else device
        self._settings = settings
        if torch_device != "cpu":
            # A step takes a GPU a millisecond. Its thread must not wait 5 ms, Python's default, for the recordings'.
            sys.setswitchinterval(_SWITCH_SECONDS)
        self._engine = SpeechEngine(
            torch_device,
            threads=_threads(settings, device),
            slots=settings.slots_on(device),
            beams=settings.beam_size or 1,
            models_folder=settings.models_folder,
        )
        self.state = WorkerRecord(name=f"{_slot(device)}@{socket.gethostname()}", kind="gpu", device=device)
        queues = [gpu_queue(ANY_GPU), gpu_queue(pinned_device(device))]
        most = settings.slots_on(device) + RUNS_AHEAD
        self.pool = PoolWorker(settings, url, self.state, queues, concurrency=most)
        self._throughput = Throughput()
        self._sharing = Sharing(self.pool.held, lambda: self._engine.slots, lambda: self._throughput.ending)
        self.pool.may_take = lambda: self._sharing.may_take
        self.pool.pause = lambda: self._sharing.pause
        self.pool.describe = self._describe
        #: Each recording has a thread: it waits for the device most of the time.
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="recording")
        self._broken: DeviceBroken | None = None
        self._watch = None if settings_version is None else SettingsWatch(url, settings_version, self.pool)
        self._register(TRANSCRIBE_TASK, TranscriptionWork(settings, self._engine))
        self._register(SPEAKERS_TASK, SpeakersWork(settings, torch_device))
        self._register(EMBED_TASK, EmbeddingWork(settings, torch_device, self._engine))

    def serve(self) -> None:
        """Load the model, then answer requests until a stop signal. Raises `DeviceBroken` when the device is lost."""
        if self._watch is not None:
            self._watch.start()
        self.pool.serve(prepare=self._load)
        if self._broken is not None:
            raise self._broken

    def _load(self) -> None:
        try:
            with machine_errors():
                model = local_path(self._settings.model, self._settings.home, self._settings.store_url)
                self._engine.load(model, self._settings.engine)
        except (ModelUnavailable, EngineMissing) as error:
            raise WorkerUnfit(str(error)) from error
        self.state.model = self._settings.model
        self.state.model_loads = self._engine.loads

    def _register(self, task: str, work: Work) -> None:
        async def answer(context: procrastinate.JobContext, key: str) -> None:
            await self._answer(context, key, work)

        self.pool.task(task, answer)

    async def _answer(self, context: procrastinate.JobContext, key: str, work: Work) -> None:
        waiting = await inference_server.waiting_request(self.pool.app, key)
        if waiting is None:
            return
        async with self._sharing.beside_others(waiting.lost), self._attempt(context, key) as attempt:
            if attempt is None:
                return
            with ExitStack() as files, self._under_way(attempt) as job:
                prepared = await self._prepare(work, attempt.request, files)
                job.prepared(work.seconds(prepared))
                result = await self._work_on(context, attempt, work, prepared, job)
                await inference_server.answer(self.pool.app, attempt, result)

    @contextmanager
    def _under_way(self, attempt: inference_server.Attempt) -> Iterator[Job]:
        """Show a job while it is under way."""
        try:
            with self._throughput.job(attempt.recording) as job:
                self.pool.show("busy")
                self._describe()
                yield job
        finally:
            self.pool.show("busy" if self._throughput.jobs else "idle")
            self._describe()

    async def _prepare(self, work: Work, content: Mapping[str, Any], files: ExitStack) -> Any:
        """Prepare the work in a folder that lives as long as `files`. Raises `WorkerUnfit` where this machine fails."""

        def prepare() -> Any:
            with machine_errors():
                return work.prepare(content, files.enter_context(new_folder(self.pool.scratch)))

        return await asyncio.to_thread(prepare)

    @asynccontextmanager
    async def _attempt(
        self, context: procrastinate.JobContext, key: str
    ) -> AsyncIterator[inference_server.Attempt | None]:
        """Begin an attempt, and see to it that whoever waits hears how it ended, whatever happens."""
        app = self.pool.app
        if self._broken is not None or not self.pool.fit:
            raise WorkInterrupted
        attempt = await inference_server.begin(app, key, self.pool.holding(context).lease, executor=self.state.name)
        if attempt is None:
            yield None
            return
        try:
            yield attempt
        except (WorkInterrupted, asyncio.CancelledError):
            await inference_server.requeue_attempt(app, attempt, reason="the executor was stopped")
            raise
        except DeviceBroken as error:
            await inference_server.device_broke(app, attempt, error)
            self._give_up(error)
            raise WorkInterrupted from error
        except WorkerUnfit as error:
            await inference_server.executor_unfit(app, attempt, error)
            self.pool.unfit(error)
            raise WorkInterrupted from error
        except JobAborted:
            await inference_server.fail(app, attempt, TranscriptionAborted())
            raise
        except TranscriptionError as error:
            self.state.last_error = f"{attempt.recording}: {error}"
            await inference_server.fail(app, attempt, error)
        except Exception as error:
            # A fault of the program: the log keeps where it happened.
            await inference_server.fail(app, attempt, TranscriptionError(f"the executor met an unexpected {error!r}"))
            raise

    async def _work_on(
        self, context: procrastinate.JobContext, attempt: inference_server.Attempt, work: Work, prepared: Any, job: Job
    ) -> dict[str, Any]:
        """Do the work in a thread of its own; progress is written meanwhile."""
        stop = threading.Event()
        reporter = asyncio.create_task(self._report(attempt, job))
        try:
            called = self._threads.submit(self._do, work, prepared, stop, job)
            result = await self.pool.result(context, called, stop=stop)
        finally:
            reporter.cancel()
        return {**result, "device": self.state.device, "executor": self.state.name}

    def _do(self, work: Work, prepared: Any, stop: threading.Event, job: Job) -> dict[str, Any]:
        def should_stop() -> bool:
            return stop.is_set() or self.pool.aborting.is_set()

        try:
            with machine_errors():
                return work.do(prepared, on_progress=job.progressed, should_stop=should_stop)
        except TranscriptionAborted:
            raise WorkInterrupted from None
        finally:
            self.state.model_loads = self._engine.loads

    async def _report(self, attempt: inference_server.Attempt, job: Job) -> None:
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            await inference_server.report_progress(self.pool.app, attempt, job.share)

    def _describe(self) -> None:
        """Write into the record what is under way, and how fast it goes."""
        self._throughput.measure(time.monotonic(), self._engine.usage())
        jobs = self._throughput.jobs
        self.state.recording, self.state.progress = (jobs[0].recording, jobs[0].share) if jobs else (None, None)
        self.state.work = self._throughput.described()

    def _give_up(self, error: DeviceBroken) -> None:
        logger.error("the device is unusable: ending this process, its supervisor starts another: %s", error)
        self._broken = error
        self.pool.drain()


def _slot(device: str) -> str:
    return device.replace("cuda:", "gpu-").replace(":", "-")


def _threads(settings: Settings, device: str) -> int | None:
    """Threads for an executor on the CPU: an equal share of the cores; None (the library's choice) on a GPU."""
    if not device.startswith("cpu"):
        return None
    return max(1, (os.cpu_count() or 1) // settings.cpu_executors)
