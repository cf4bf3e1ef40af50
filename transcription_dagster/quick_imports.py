"""Start a process faster: import large libraries without a search for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Suspend Python's garbage collection while the block imports libraries such as Dagster and torch.

    Imports create hundreds of thousands of objects that stay, and searching them for garbage again and again takes a
    fifth of their time. Afterwards they are exempt from later searches as well. For the start of a process only: what
    is garbage by then stays in memory.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
