from __future__ import annotations

import os
import signal

from transcription_dagster.cli.stop_signals import StopSignals


def test_stop_signals_are_counted():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signals = StopSignals()
        assert not signals.wait(0)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.wait(60)
        assert signals.count == 1
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.count == 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
