"""A GPU executor: keeps the model loaded, and claims as many recordings as the device processes together."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from transcription_dagster.errors import (
    DeviceBroken,
    EngineMissing,
    ModelUnavailable,
    TranscriptionAborted,
    TranscriptionError,
    WorkerUnfit,
)
from transcription_dagster.pool.devices import ANY_GPU, gpu_queue, pinned_device
from transcription_dagster.pool.inference_requests import EMBED_TASK, SPEAKERS_TASK, TRANSCRIBE_TASK
from transcription_dagster.pool.inference_work import EmbeddingWork, SpeakersWork, TranscriptionWork, Work
from transcription_dagster.pool.request_queue import BROKE, UNFIT, RequestClaim, RequestQueue
from transcription_dagster.pool.work_queue import HeldWork
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.settings import RUNS_AHEAD, Settings
from transcription_dagster.store.scratch import machine_errors, new_folder
from transcription_dagster.store.shared_files import local_path
from transcription_dagster.whisper.engine import SpeechEngine
from transcription_dagster.workers.executor_jobs import DeviceSharing, Job, Throughput
from transcription_dagster.workers.pool_worker import PoolWorker, SettingsWatch
from transcription_dagster.workers.work_loop import WorkInterrupted

logger = logging.getLogger(__name__)

#: Longest time for which another thread may delay a GPU's thread, in seconds.
_SWITCH_SECONDS = 0.0002

#: Seconds between updates of a request's progress.
_REPORT_SECONDS = 1.0


class GpuExecutor:
    """One device (`cuda:0`, `cpu:0`), one loaded model, and several recordings at a time."""

    def __init__(self, settings: Settings, url: str, device: str, settings_version: int | None = None) -> None:
        """`settings_version` is the version of `settings` in the database; None if they never change."""
        # A CPU executor is called `cpu:0`, but torch knows only one CPU.
        torch_device = "cpu" if device.startswith("cpu") else device
        self._settings = settings
        if torch_device != "cpu":
            # A decoder step takes a GPU a millisecond. Its thread must not wait Python's default of 5 ms for other
            # threads.
            sys.setswitchinterval(_SWITCH_SECONDS)
        self._engine = SpeechEngine(
            torch_device,
            threads=_threads(settings, device),
            slots=settings.slots_on(device),
            beams=settings.beam_size or 1,
            models_folder=settings.models_folder,
        )
        self.record = WorkerRecord(name=f"{_slot(device)}@{socket.gethostname()}", kind="gpu", device=device)
        queues = [gpu_queue(ANY_GPU), gpu_queue(pinned_device(device))]
        self._requests = RequestQueue(url, self.record, queues)
        self.pool = PoolWorker(settings, self.record, self._requests)
        self._throughput = Throughput()
        self._sharing = DeviceSharing(self.pool.work.held, lambda: self._engine.slots, lambda: self._throughput.ending)
        self.pool.may_take = lambda: self._sharing.may_claim
        self.pool.pause = lambda: self._sharing.pause
        self.pool.describe = self._describe
        #: A thread per recording, which mostly waits for the device.
        self._threads = ThreadPoolExecutor(settings.slots_on(device) + RUNS_AHEAD, thread_name_prefix="recording")
        self._broken: DeviceBroken | None = None
        self._watch = None if settings_version is None else SettingsWatch(url, settings_version, self.pool)
        self._register(TRANSCRIBE_TASK, TranscriptionWork(settings, self._engine))
        self._register(SPEAKERS_TASK, SpeakersWork(settings, torch_device))
        self._register(EMBED_TASK, EmbeddingWork(settings, torch_device, self._engine))

    def serve(self) -> None:
        """Load the model, then answer requests until a stop signal. Raises `DeviceBroken` if the device is lost."""
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
        self.record.model = self._settings.model
        self.record.model_loads = self._engine.loads

    def _register(self, task: str, work: Work) -> None:
        async def answer(held: HeldWork[RequestClaim]) -> dict[str, Any]:
            async with self._sharing.wait_for_turn(held.claim.lost):
                return await self._attempt(held.claim, work)

        self.pool.work.task(task, answer)

    async def _attempt(self, claim: RequestClaim, work: Work) -> dict[str, Any]:
        """Begin an attempt and return its answer. `WorkInterrupted` returns the request to the queue."""
        if self._broken is not None or not self.pool.fit or not await self._requests.begin(claim):
            raise WorkInterrupted
        try:
            with ExitStack() as files, self._in_record(claim) as job:
                prepared = await self._prepare(work, claim.request, files)
                job.prepared(work.seconds(prepared))
                return await self._work_on(claim, work, prepared, job)
        except DeviceBroken as error:
            self._give_up(error)
            raise WorkInterrupted(f"{BROKE}: {error}") from error
        except WorkerUnfit as error:
            self.pool.unfit(error)
            raise WorkInterrupted(f"{UNFIT}: {error}") from error
        except TranscriptionError as error:
            self.record.last_error = f"{claim.recording}: {error}"
            raise

    @contextmanager
    def _in_record(self, claim: RequestClaim) -> Iterator[Job]:
        """Show a job in the worker's record while it is in progress."""
        try:
            with self._throughput.job(claim.recording) as job:
                self.pool.show("busy")
                self._describe()
                yield job
        finally:
            self.pool.show("busy" if self._throughput.jobs else "idle")
            self._describe()

    async def _prepare(self, work: Work, content: Mapping[str, Any], files: ExitStack) -> Any:
        """Prepare the work in a folder that `files` removes. Raises `WorkerUnfit` if this machine cannot do it."""

        def prepare() -> Any:
            with machine_errors():
                return work.prepare(content, files.enter_context(new_folder(self.pool.scratch)))

        return await asyncio.to_thread(prepare)

    async def _work_on(self, claim: RequestClaim, work: Work, prepared: Any, job: Job) -> dict[str, Any]:
        """Do the work in a separate thread, and publish its progress."""
        stop = threading.Event()
        reporter = asyncio.create_task(self._report(claim, job))
        try:
            result = await self.pool.result(self._threads.submit(self._do, work, prepared, stop, job), stop=stop)
        finally:
            reporter.cancel()
        return {**result, "device": self.record.device, "executor": self.record.name}

    def _do(self, work: Work, prepared: Any, stop: threading.Event, job: Job) -> dict[str, Any]:
        def should_stop() -> bool:
            return stop.is_set() or self.pool.aborting.is_set()

        try:
            with machine_errors():
                return work.do(prepared, on_progress=job.progressed, should_stop=should_stop)
        except TranscriptionAborted:
            raise WorkInterrupted from None
        finally:
            self.record.model_loads = self._engine.loads

    async def _report(self, claim: RequestClaim, job: Job) -> None:
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            await self._requests.report_progress(claim, job.share)

    def _describe(self) -> None:
        """Update the record with the work in progress and the speed."""
        self._throughput.measure(time.monotonic(), self._engine.usage())
        jobs = self._throughput.jobs
        self.record.recording, self.record.progress = (jobs[0].recording, jobs[0].share) if jobs else (None, None)
        self.record.work = self._throughput.described()

    def _give_up(self, error: DeviceBroken) -> None:
        logger.error("the device is unusable: ending this process, its supervisor starts another: %s", error)
        self._broken = error
        self.pool.drain()


def _slot(device: str) -> str:
    return device.replace("cuda:", "gpu-").replace(":", "-")


def _threads(settings: Settings, device: str) -> int | None:
    """Return a CPU executor's number of threads, an equal share of the cores; None (the default) on a GPU."""
    if not device.startswith("cpu"):
        return None
    return max(1, (os.cpu_count() or 1) // settings.cpu_executors)
