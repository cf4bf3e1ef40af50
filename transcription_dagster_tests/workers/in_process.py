"""A worker in threads of the test's own process, without its signal handlers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transcription_dagster.workers.pool_worker import PoolWorker


@contextmanager
def at_work(pool: PoolWorker[Any]) -> Iterator[None]:
    """Run the worker during the block, and stop it afterwards. Raises any other cause of its end."""
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
