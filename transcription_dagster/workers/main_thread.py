"""The main thread of a worker process: signal handling, and calls on behalf of the event loop.

The event loop runs in a separate thread, so that heartbeats continue while the main thread works. The work runs in the
main thread because Dagster's interrupts only reach a main thread, and a GPU is best used from a single thread.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")

#: Stop signals: the first one drains the worker, the second one aborts its work.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

#: Sent to the main thread alone to interrupt the run that it executes.
_INTERRUPT_SIGNAL = signal.SIGUSR1
_INSIST_SECONDS = 0.1


def block_stop_signals() -> None:
    """Reserve the stop signals for `watch_stop_signals`: libraries install handlers too (Dagster's interrupts the run).

    Call this before any thread starts, including threads that imports start: a single thread that does not block a
    signal suffices for the signal to end the process.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def watch_stop_signals(*, on_first: Callable[[], None], on_second: Callable[[], None]) -> None:
    """Call `on_first` for the first blocked stop signal and `on_second` for each later one, from a separate thread."""

    def watch() -> None:
        signal.sigwait(STOP_SIGNALS)
        on_first()
        while True:
            signal.sigwait(STOP_SIGNALS)
            on_second()

    threading.Thread(target=watch, name="stop signals", daemon=True).start()


class MainThread:
    """Executes functions of other threads in the main thread, one at a time."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self._busy = False
        #: True once the last interrupt has arrived. Not an `Event`: a signal handler must not wait for a lock.
        self._interrupt_arrived = True
        self._ident = threading.main_thread().ident or 0
        signal.signal(_INTERRUPT_SIGNAL, self._interrupted)

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Queue `function`; the future holds its result or exception."""
        call = _Call(function)
        self._work.put(call)
        return call.future

    def interrupt(self) -> None:
        """Interrupt the current function like Ctrl+C: call the installed handler of SIGINT."""
        self._interrupt_arrived = False
        threading.Thread(target=self._insist, name="interrupt", daemon=True).start()

    def _insist(self) -> None:
        # A signal that arrives just before the main thread starts to wait does not wake it; Python would call the
        # handler only after that wait.
        while not self._interrupt_arrived:
            signal.pthread_kill(self._ident, _INTERRUPT_SIGNAL)
            time.sleep(_INSIST_SECONDS)

    def close(self) -> None:
        """Make `serve` return once the queued calls are done."""
        self._work.put(None)

    def serve(self) -> None:
        """Execute queued calls until `close`. Blocks; call it in the main thread."""
        while (call := self._work.get()) is not None:
            self._busy = True
            try:
                call.run()
            finally:
                self._busy = False

    def _interrupted(self, _signal: int, frame: FrameType | None) -> None:
        if self._interrupt_arrived:
            return
        self._interrupt_arrived = True
        handler = signal.getsignal(signal.SIGINT)
        # Between two calls there is nothing to interrupt, and the default handler would end the process.
        if self._busy and callable(handler) and handler is not signal.default_int_handler:
            handler(signal.SIGINT, frame)


class _Call(Generic[Result]):
    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function
        self.future: Future[Result] = Future()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._function()
        except BaseException as error:  # noqa: BLE001  raised again where the future is awaited
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
