"""Signals to a worker's process, and calls in its main thread; each test uses a separate process."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from typing import IO

import pytest

pytestmark = pytest.mark.slow


def start(script: str) -> subprocess.Popen[str]:
    """Run `script` in a new Python process, and wait until it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert line(process) == "ready"
    return process


def line(process: subprocess.Popen[str]) -> str:
    output: IO[str] | None = process.stdout
    assert output is not None
    return output.readline().strip()


WATCHING = """
    import threading
    from transcription_dagster.workers.main_thread import block_stop_signals, watch_stop_signals
    block_stop_signals()
    over = threading.Event()
    def second():
        print("second")
        over.set()
    watch_stop_signals(on_first=lambda: print("first"), on_second=second)
    print("ready")
    over.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_and_second_stop_signals_are_distinguished(number: signal.Signals) -> None:
    process = start(WATCHING)
    process.send_signal(number)
    assert line(process) == "first"
    process.send_signal(number)
    assert line(process) == "second"
    assert process.wait(120) == 0


def test_results_and_errors_of_main_thread_calls_are_returned() -> None:
    process = start(
        """
        import threading
        from transcription_dagster.workers.main_thread import MainThread
        main = MainThread()
        def others():
            ident = main.call(threading.get_ident).result()
            print(ident == threading.main_thread().ident)
            print(repr(main.call(lambda: 1 / 0).exception()))
            main.close()
        threading.Thread(target=others).start()
        print("ready")
        main.serve()
        print("over")
        """
    )
    assert [line(process) for _ in range(3)] == ["True", "ZeroDivisionError('division by zero')", "over"]
    assert process.wait(120) == 0


def test_an_interrupt_calls_the_running_functions_handler() -> None:
    process = start(
        """
        import signal, threading, time
        from transcription_dagster.workers.main_thread import MainThread
        main = MainThread()
        begun = threading.Event()
        def work():
            def interrupted(*_):
                raise InterruptedError("stop it")
            signal.signal(signal.SIGINT, interrupted)
            begun.set()
            while True:
                time.sleep(60)
        def others():
            future = main.call(work)
            begun.wait()
            main.interrupt()
            print(repr(future.exception()))
            main.close()
        threading.Thread(target=others).start()
        print("ready")
        main.serve()
        """
    )
    assert line(process) == "InterruptedError('stop it')"
    assert process.wait(120) == 0


def test_an_interrupt_before_a_wait_is_repeated_and_handled_once() -> None:
    process = start(
        """
        import signal, threading, time
        from transcription_dagster.workers.main_thread import MainThread
        main = MainThread()
        begun = threading.Event()
        sent, heard = [], []
        send = signal.pthread_kill
        def lose_two(*arguments):
            sent.append(arguments)
            if len(sent) > 2:
                send(*arguments)
                send(*arguments)
        signal.pthread_kill = lose_two
        def work():
            signal.signal(signal.SIGINT, lambda *_: heard.append(True))
            begun.set()
            while not heard:
                time.sleep(0.01)
            time.sleep(0.5)
            return heard
        def others():
            future = main.call(work)
            begun.wait()
            main.interrupt()
            print(future.result())
            main.close()
        threading.Thread(target=others).start()
        print("ready")
        main.serve()
        """
    )
    assert line(process) == "[True]"
    assert process.wait(120) == 0


def test_an_interrupt_between_calls_does_not_end_the_process() -> None:
    process = start(
        """
        import threading
        from transcription_dagster.workers.main_thread import MainThread
        main = MainThread()
        def others():
            main.interrupt()
            print(main.call(lambda: "still there").result())
            main.close()
        threading.Thread(target=others).start()
        print("ready")
        main.serve()
        """
    )
    assert line(process) == "still there"
    assert process.wait(120) == 0


def test_an_interrupt_before_dagster_listens_is_raised_later() -> None:
    process = start(
        """
        import threading
        from dagster._core.errors import raise_execution_interrupts
        from dagster._utils.interrupts import capture_interrupts
        from transcription_dagster.workers.main_thread import MainThread
        main = MainThread()
        begun, interrupted = threading.Event(), threading.Event()
        def work():
            with capture_interrupts():
                begun.set()
                interrupted.wait()
                with raise_execution_interrupts():
                    print("not interrupted")
        def others():
            future = main.call(work)
            begun.wait()
            main.interrupt()
            interrupted.set()
            print(type(future.exception()).__name__)
            main.close()
        threading.Thread(target=others).start()
        print("ready")
        main.serve()
        """
    )
    assert line(process) == "DagsterExecutionInterruptedError"
    assert process.wait(120) == 0
