"""A worker of the pool whose work is to wait for a file: `python -m transcription_dagster_tests.pool_process NAME`.

It prints the progress of its jobs: `began FILE`, then `done FILE` or `stopped FILE`.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from transcription_dagster.pool.run_queue import JobClaim, RunQueue
from transcription_dagster.pool.work_queue import HeldWork
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.settings import load_settings
from transcription_dagster.workers.main_thread import block_stop_signals
from transcription_dagster.workers.pool_worker import PoolWorker
from transcription_dagster.workers.work_loop import WorkInterrupted

QUEUE, TASK = "waiting", "wait_for"


def serve(name: str) -> None:
    """Work until a stop signal."""
    settings = load_settings()
    state = WorkerRecord(name, "run")
    pool = PoolWorker(settings, state, RunQueue(settings.require_database_url(), state, [QUEUE]))

    def wait_for(file: Path, stop: threading.Event) -> None:
        print(f"began {file.name}", flush=True)
        while not file.exists():
            if stop.wait(0.02):
                print(f"stopped {file.name}", flush=True)
                raise WorkInterrupted
        print(f"done {file.name}", flush=True)

    async def work(held: HeldWork[JobClaim]) -> None:
        stop, path = threading.Event(), Path(held.claim.arguments["path"])
        await pool.in_main_thread(lambda: wait_for(path, stop), stop=stop)

    pool.work.task(TASK, work)
    pool.serve(prepare=lambda: None)


if __name__ == "__main__":
    block_stop_signals()
    serve(sys.argv[1])
