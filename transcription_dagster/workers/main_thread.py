"""How a worker process lives: signals, and work in its main thread on behalf of its event loop.

A worker's event loop runs in a thread of its own, so that heartbeats go on while the main thread is busy. The main
thread does the work, because Dagster's interrupts reach only a main thread and a GPU is best driven from one.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType
from typing import Generic, TypeVar

Result = TypeVar("Result")

#: Signals that ask a worker to stop: the first drains, the second aborts.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

#: Sent to the main thread alone, to interrupt the run that it executes.
_INTERRUPT_SIGNAL = signal.SIGUSR1
_INSIST_SECONDS = 0.1


def block_stop_signals() -> None:
    """Keep the stop signals for `watch_stop_signals`, from the handlers that libraries install too.

    (Dagster maps SIGTERM to an interrupt of the run.) To be called before any thread starts, and libraries start some
    when they are imported: one thread that does not block a signal is enough for it to end the process.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def watch_stop_signals(*, on_first: Callable[[], None], on_second: Callable[[], None]) -> None:
    """Call `on_first` and then, each further time, `on_second` for the blocked stop signals, from a thread."""

    def watch() -> None:
        signal.sigwait(STOP_SIGNALS)
        on_first()
        while True:
            signal.sigwait(STOP_SIGNALS)
            on_second()

    threading.Thread(target=watch, name="stop signals", daemon=True).start()


class MainThread:
    """Lets other threads have functions called in the main thread, one at a time."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._busy = False
        #: Whether the last interrupt has arrived. No `Event`: a handler must not wait for a lock.
        self._heard = True
        self._ident = threading.main_thread().ident or 0
        signal.signal(_INTERRUPT_SIGNAL, self._interrupted)

    def call(self, function: Callable[[], Result]) -> Future[Result]:
        """Queue `function`; the future gives what it returns or raises."""
        call = _Call(function)
        self._work.put(call)
        return call.future

    def interrupt(self) -> None:
        """Deliver to the function under way what Ctrl+C would: whichever handler is installed for SIGINT is called."""
        self._heard = False
        threading.Thread(target=self._insist, name="interrupt", daemon=True).start()

    def _insist(self) -> None:
        # A signal that comes in the instant before the main thread begins to wait for something does not wake it, and
        # Python would call the handler when that wait is over.
        while not self._heard:
            signal.pthread_kill(self._ident, _INTERRUPT_SIGNAL)
            time.sleep(_INSIST_SECONDS)

    def close(self) -> None:
        """Let `serve` return when all that was queued is done."""
        self._work.put(None)

    def serve(self) -> None:
        """Call what is queued until `close`. Blocks; to be called in the main thread."""
        while (call := self._work.get()) is not None:
            self._busy = True
            try:
                call.run()
            finally:
                self._busy = False

    def _interrupted(self, _signal: int, frame: FrameType | None) -> None:
        if self._heard:
            return
        self._heard = True
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
        except BaseException as error:  # noqa: BLE001  handed on to whoever waits for the future
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
