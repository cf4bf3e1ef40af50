"""A GPU executor: holds the model, pulls one recording at a time, and decodes the next while the GPU is busy."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import procrastinate
from procrastinate.exceptions import JobAborted
from procrastinate.jobs import Job
from procrastinate.manager import JobManager

from transcription_dagster.clients.object_store import ObjectStore
from transcription_dagster.errors import (
    DeviceBroken,
    TimeLimitExceeded,
    TranscriptionAborted,
    TranscriptionError,
)
from transcription_dagster.queueing import speech_server
from transcription_dagster.queueing.names import ANY_GPU, TRANSCRIBE_TASK, gpu_queue
from transcription_dagster.queueing.transcription_request import TranscriptionRequest
from transcription_dagster.settings import Settings
from transcription_dagster.speech.engine import PreparedAudio, SpeechEngine
from transcription_dagster.text.transcribe_json import write_transcript
from transcription_dagster.workers.pool_worker import PoolWorker, WorkerState, WorkInterrupted

logger = logging.getLogger(__name__)

#: The next job is taken when the present one has at most so many seconds to go: early enough to decode its audio
#: meanwhile, late enough that an executor that is free sooner would rarely have begun it.
LOOK_AHEAD_SECONDS = 3.0


class GpuExecutor:
    """One device, one model in memory, one inference at a time."""

    def __init__(self, settings: Settings, url: str, device: str) -> None:
        # A CPU executor is `cpu:0`; to torch there is but one CPU.
        torch_device = "cpu" if device.startswith("cpu") else device
        index = device.removeprefix("cuda:")
        self._settings = settings
        self._engine = SpeechEngine(
            torch_device, threads=_threads(settings, device), models_folder=settings.models_folder
        )
        self._store = ObjectStore(settings.store_url)
        self.state = WorkerState(name=f"{_slot(device)}@{socket.gethostname()}", kind="gpu", device=device)
        self.pool = PoolWorker(settings, url, self.state, [gpu_queue(ANY_GPU), gpu_queue(index)], concurrency=2)
        self._gate = _Gate(self.pool)
        self.pool.task(TRANSCRIBE_TASK, self._transcribe)
        self.pool.app.job_manager = _GatedJobManager(self.pool.app, self._gate)
        self._device_lock = asyncio.Lock()
        self.broken: DeviceBroken | None = None

    def serve(self) -> None:
        """Load the model, then answer requests until a stop signal. Raises `DeviceBroken` when the device is lost."""
        self.pool.serve(prepare=self._load)
        if self.broken is not None:
            raise self.broken

    def _load(self) -> None:
        self._engine.load(self._settings.model)
        self.state.model = self._settings.model
        self.state.model_loads = self._engine.loads

    async def _transcribe(self, context: procrastinate.JobContext, key: str) -> None:
        try:
            await self._answer(context, key)
        finally:
            self._gate.jobs -= 1

    async def _answer(self, context: procrastinate.JobContext, key: str) -> None:
        waiting = await speech_server.waiting_request(self.pool.app, key)
        if waiting is None:
            return
        request = TranscriptionRequest.from_json(waiting)
        with tempfile.TemporaryDirectory(dir=_scratch(self._settings)) as folder:
            prepared = await _outcome(asyncio.to_thread(self._prepare, request, Path(folder)))
            async with self._device_lock:
                attempt = await speech_server.begin(self.pool.app, key, executor=self.state.name)
                if attempt is None:
                    return
                try:
                    if isinstance(prepared, TranscriptionError):
                        raise prepared
                    result = await self._on_device(context, key, request, prepared)
                except WorkInterrupted:
                    await speech_server.give_back(self.pool.app, key, reason="the executor was stopped")
                    raise
                except DeviceBroken as error:
                    await speech_server.give_back(self.pool.app, key, reason=str(error))
                    self._give_up(error)
                    raise WorkInterrupted from error
                except JobAborted:
                    await speech_server.fail(self.pool.app, key, TranscriptionAborted())
                    raise
                except TranscriptionError as error:
                    self.state.last_error = f"{request.recording}: {error}"
                    await speech_server.fail(self.pool.app, key, error)
                except Exception as error:
                    # A fault of the program: whoever waits has to hear of it, and the log keeps where it happened.
                    await speech_server.fail(self.pool.app, key, TranscriptionError(f"unexpected {error!r}"))
                    raise
                else:
                    await speech_server.answer(self.pool.app, key, result)

    async def _on_device(
        self, context: procrastinate.JobContext, key: str, request: TranscriptionRequest, prepared: PreparedAudio
    ) -> dict[str, Any]:
        """Transcribe in the main thread; progress is written meanwhile."""
        stop = threading.Event()
        reporter = asyncio.create_task(self._report(key))
        self._gate.began(request.recording)
        try:
            return await self.pool.in_main_thread(context, lambda: self._infer(request, prepared, stop), stop=stop)
        finally:
            self._gate.ended()
            reporter.cancel()

    def _infer(self, request: TranscriptionRequest, prepared: PreparedAudio, stop: threading.Event) -> dict[str, Any]:
        limit = request.time_limit(
            factor=self._settings.time_limit_factor, floor_seconds=self._settings.time_limit_floor_seconds
        )
        started = time.monotonic()

        def should_stop() -> bool:
            return stop.is_set() or self.pool.aborting.is_set() or time.monotonic() - started > limit

        try:
            transcript = self._engine.transcribe(
                prepared,
                request.options,
                recording=request.recording,
                on_progress=self._gate.progressed,
                should_stop=should_stop,
            )
        except TranscriptionAborted:
            if stop.is_set() or self.pool.aborting.is_set():
                raise WorkInterrupted from None
            raise TimeLimitExceeded(
                f"stopped after {limit:.0f} s, the limit for {request.seconds:.0f} s of audio; raise "
                "TRANSCRIPTION_TIME_LIMIT_FACTOR if this device is really that slow"
            ) from None
        finally:
            self.state.model_loads = self._engine.loads
        return {
            "transcript": write_transcript(transcript),
            "device": self.state.device,
            "executor": self.state.name,
        }

    async def _report(self, key: str) -> None:
        """Write how far the attempt is, for the display of whoever waits."""
        while True:
            await asyncio.sleep(1.0)
            await speech_server.report_progress(self.pool.app, key, self.state.progress or 0.0)

    def _prepare(self, request: TranscriptionRequest, folder: Path) -> PreparedAudio:
        """Bring the audio here and decode its beginning."""
        path = self._store.local_path(request.audio_key)
        if path is None:
            path = folder / "audio.flac"
            self._store.download(request.audio_key, path)
        return self._engine.prepare(path)

    def _give_up(self, error: DeviceBroken) -> None:
        logger.error("the device is unusable: ending this process, its supervisor starts another: %s", error)
        self.broken = error
        self.pool.drain()


class _Gate:
    """Decides when the next job may be taken, from how far the present one is."""

    def __init__(self, pool: PoolWorker) -> None:
        self._pool = pool
        self._started: float | None = None
        #: Jobs that were taken and have not ended.
        self.jobs = 0

    def began(self, recording: str) -> None:
        self._started = time.monotonic()
        self._pool.state.state = "draining" if self._pool.draining.is_set() else "busy"
        self._pool.state.recording, self._pool.state.progress = recording, 0.0

    def progressed(self, share: float) -> None:
        """Called at each window of audio, in the main thread."""
        self._pool.state.progress = share

    def ended(self) -> None:
        self._started = None
        self._pool.state.state = "draining" if self._pool.draining.is_set() else "idle"
        self._pool.state.recording = self._pool.state.progress = None

    @property
    def closed_for_good(self) -> bool:
        """Whether no job will be taken any more."""
        return self._pool.draining.is_set()

    @property
    def open(self) -> bool:
        """Whether another job may be taken now."""
        if self.jobs == 0:
            return True
        share = self._pool.state.progress
        if self._started is None or not share:
            return False
        elapsed = time.monotonic() - self._started
        return elapsed / share - elapsed <= LOOK_AHEAD_SECONDS


class _GatedJobManager(JobManager):
    """Fetches a job only when the gate is open, so that no executor sits on work that another could begin."""

    def __init__(self, app: procrastinate.App, gate: _Gate) -> None:
        super().__init__(app.connector)
        self._gate = gate

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        while not self._gate.open:
            if self._gate.closed_for_good:
                return None
            await asyncio.sleep(0.05)
        job = await super().fetch_job(queues, worker_id)
        if job is not None:
            self._gate.jobs += 1
        return job


async def _outcome(work: Any) -> Any:
    """The result of `work`, or the error of the program that it raised."""
    try:
        return await work
    except TranscriptionError as error:
        return error


def _slot(device: str) -> str:
    return device.replace("cuda:", "gpu-").replace(":", "-")


def _threads(settings: Settings, device: str) -> int | None:
    """Threads for an executor on the CPU: an equal share of the cores; None (the library's choice) on a GPU."""
    if not device.startswith("cpu"):
        return None
    return max(1, (os.cpu_count() or 1) // settings.cpu_executors)


def _scratch(settings: Settings) -> Path:
    settings.scratch_folder.mkdir(parents=True, exist_ok=True)
    return settings.scratch_folder
