"""A worker that works in threads of the test's own process, without its signal handlers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transcription_dagster.workers.pool_worker import PoolWorker


@contextmanager
def at_work(pool: PoolWorker[Any]) -> Iterator[None]:
    """Have the worker take work, and finish it in the end. Raises what ended it otherwise."""
    threads = [threading.Thread(target=target) for target in (pool._run_loop, pool.main.serve)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        pool.drain()
        for thread in threads:
            thread.join()
    if pool._failure is not None:
        raise pool._failure
