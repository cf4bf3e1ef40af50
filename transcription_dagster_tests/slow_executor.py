"""A GPU executor that answers nothing until a file exists.

python -m transcription_dagster_tests.slow_executor cpu:1
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from transcription_dagster.workers.main_thread import block_stop_signals

#: The file in the home that lets it answer.
GATE = "may-answer"


def serve(device: str) -> None:
    # Imported once the stop signals are blocked, because these modules start threads.
    from transcription_dagster.settings import load_settings
    from transcription_dagster.workers import gpu_executor

    settings = load_settings()

    class SlowWork(gpu_executor.TranscriptionWork):
        def do(
            self, prepared: Any, *, on_progress: Callable[[float], None], should_stop: Callable[[], bool]
        ) -> dict[str, Any]:
            result = super().do(prepared, on_progress=lambda _share: None, should_stop=should_stop)
            gate = settings.home / GATE
            while not gate.exists() and not should_stop():
                time.sleep(0.05)
            return result

    gpu_executor.TranscriptionWork = SlowWork  # type: ignore[misc]
    gpu_executor.GpuExecutor(settings, settings.require_database_url(), device).serve()


if __name__ == "__main__":
    block_stop_signals()
    serve(sys.argv[1])
