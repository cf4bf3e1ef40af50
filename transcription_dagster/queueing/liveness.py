"""Whether a worker is dead: from its process where that can be seen, else from its silence."""

from __future__ import annotations

import os
import socket

#: A process that exists and has been silent for so long hangs, and counts as dead. Much longer than a worker's
#: silence on another machine may be: one that is starved of processor time must not lose its work to the others, who
#: are starved too.
HANGING_SECONDS = 60.0


def is_lost(host: str | None, pid: int | None, silence: float | None, *, stale_seconds: float) -> bool:
    """Whether the worker that was last heard of `silence` seconds ago will never be heard of again.

    `host` and `pid` are None for a worker that nothing else is known of, `silence` for one that left no heartbeat.
    """
    if silence is None:
        return True
    if host == socket.gethostname() and pid is not None:
        return not process_exists(pid) or silence > HANGING_SECONDS
    return silence > stale_seconds


def process_exists(pid: int) -> bool:
    """Whether this machine has a process with this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
