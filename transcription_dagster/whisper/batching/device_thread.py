"""The thread that owns a device: it runs decoder steps for all recordings, and other calls between two steps."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from typing import Any

import numba
import torch

from transcription_dagster.errors import DeviceBroken
from transcription_dagster.model import OPENAI_WHISPER
from transcription_dagster.whisper.batching.batch import Batch, Session
from transcription_dagster.whisper.decoding.requests import Align, Decode, Detect, Requests, Result, run_requests
from transcription_dagster.whisper.devices import DeviceUse

_CPU = torch.device("cpu")


class DeviceThread:
    """Runs everything that uses one device. Thread-safe; the thread exists only while a session or a call needs it."""

    def __init__(self, device: torch.device = _CPU) -> None:
        self._on_gpu = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
        self._changed = threading.Condition()
        #: Calls from other threads, in order.
        self._inbox: deque[Callable[[], None]] = deque()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._batches: list[Batch] = []
        self._broken: DeviceBroken | None = None
        #: Seconds that the thread has worked, idle time excluded.
        self.worked = 0.0

    @contextmanager
    def session(self, batch: Batch, use: DeviceUse) -> Iterator[Callable[[Decode | Align | Detect], Any]]:
        """Begin a pass over a recording; yields a function that answers its requests.

        The function blocks until the answer is there. It raises `TranscriptionAborted`, `TimeLimitExceeded`,
        `OutOfMemory`, `DeviceBroken`, and any error of the request itself.
        """
        with self._use():
            session = batch.session(use)

            def answer(request: Decode | Align | Detect) -> Any:
                session.answer = Future()
                self._put(lambda: self._ask(batch, session, request))
                return session.answer.result()

            try:
                yield answer
            finally:
                self._put(lambda: batch.remove(session))

    def between_steps(self, function: Callable[[], Result]) -> Result:
        """Call a function in the device's thread and return its result."""
        future: Future[Result] = Future()

        def call() -> None:
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  raised in the caller's thread
                future.set_exception(error)

        with self._use():
            self._put(call)
            return future.result()

    def _ask(self, batch: Batch, session: Session, request: Decode | Align | Detect) -> None:
        if self._broken is not None:
            session.answer.set_exception(DeviceBroken(str(self._broken)))
            return
        batch.add(session, request)
        if batch not in self._batches:
            self._batches.append(batch)

    def _put(self, what: Callable[[], None]) -> None:
        with self._changed:
            self._inbox.append(what)
            self._changed.notify_all()

    @contextmanager
    def _use(self) -> Iterator[None]:
        with self._changed:
            self._users += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="device", daemon=True)
                self._thread.start()
            thread = self._thread
        try:
            yield
        finally:
            self._stop_using(thread)

    def _stop_using(self, thread: threading.Thread) -> None:
        """Leave the device; the last user waits for the end of its thread.

        A process that exits while a thread is inside PyTorch is aborted.
        """
        with self._changed:
            self._users -= 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._thread is not thread or self._users > 0)
            ended = self._thread is not thread
        if ended:
            thread.join()

    def _work(self) -> None:
        # One thread: the word alignment is too small to gain from more, and processes that share cores would wait for
        # each other, at several times the cost.
        numba.set_num_threads(1)
        # Select the GPU for this thread: kernels and graphs run on the current GPU, wherever their tensors are.
        with self._on_gpu, torch.inference_mode():
            while self._wait():
                started = time.perf_counter()
                while self._inbox:
                    self._inbox.popleft()()
                self._advance()
                self.worked += time.perf_counter() - started

    def _wait(self) -> bool:
        """Wait for work; return False, and drop the thread, when no session or call is left."""
        with self._changed:
            while not self._inbox and not any(batch.has_work for batch in self._batches):
                if self._users == 0:
                    self._thread = None
                    self._changed.notify_all()
                    return False
                self._changed.wait()
            return True

    def _advance(self) -> None:
        try:
            for batch in self._batches:
                if batch.has_work:
                    batch.advance()
        except Exception as error:  # noqa: BLE001  raised in the recordings' threads
            if isinstance(error, DeviceBroken):
                self._broken = error
            for batch in self._batches:
                batch.fail_all(error)


class ModelAccess:
    """A recording's access to a shared model of openai-whisper (`SpeechModel`).

    Runs computations in the caller's thread, and their requests to the model in the device's thread.
    """

    def __init__(self, device: DeviceThread, batch: Batch, use: DeviceUse) -> None:
        self._device = device
        self._batch = batch
        self._use = use
        self.vocabulary = batch.vocabulary
        #: Mel bands of the spectrograms that the model reads.
        self.mels = batch.mels
        self.options_used: dict[str, Any] = {"engine": OPENAI_WHISPER, "fp16": batch.half_precision}

    def run(
        self, requests: Requests[Result], before_each: Callable[[Decode | Align | Detect], None] = lambda _: None
    ) -> Result:
        """Run a computation to its end, with freshly seeded random numbers.

        Raises what `before_each` raises, `TranscriptionAborted`, `TimeLimitExceeded`, `OutOfMemory`, `DeviceBroken`.
        """
        with self._device.session(self._batch, self._use) as answer:

            def watched(request: Decode | Align | Detect) -> object:
                before_each(request)
                return answer(request)

            return run_requests(requests, watched)
