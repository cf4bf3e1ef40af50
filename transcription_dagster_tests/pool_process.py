"""A worker of the pool whose work is to wait for a file: `python -m transcription_dagster_tests.pool_process NAME`.

It says on its output what becomes of its jobs: `began FILE`, then `done FILE` or `stopped FILE`.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import procrastinate

from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.settings import load_settings
from transcription_dagster.workers.main_thread import block_stop_signals
from transcription_dagster.workers.pool_worker import PoolWorker, WorkInterrupted

QUEUE, TASK = "waiting", "wait_for"


def serve(name: str) -> None:
    """Work until a stop signal."""
    settings = load_settings()
    pool = PoolWorker(settings, settings.require_database_url(), WorkerRecord(name, "run"), [QUEUE])

    def wait_for(file: Path, stop: threading.Event) -> None:
        print(f"began {file.name}", flush=True)
        while not file.exists():
            if stop.wait(0.02):
                print(f"stopped {file.name}", flush=True)
                raise WorkInterrupted
        print(f"done {file.name}", flush=True)

    async def work(context: procrastinate.JobContext, path: str) -> None:
        stop = threading.Event()
        await pool.in_main_thread(context, lambda: wait_for(Path(path), stop), stop=stop)

    pool.task(TASK, work)
    pool.serve(prepare=lambda: None)


if __name__ == "__main__":
    block_stop_signals()
    serve(sys.argv[1])
