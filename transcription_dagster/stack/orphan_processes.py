"""Orphan processes: those that outlived their stack because its supervisor was killed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

from transcription_dagster.stack.programs import STACK_VARIABLE

#: Enough for an executor to unload its model.
_TERMINATE_SECONDS = 10.0


def end_orphan_processes(home: Path) -> int:
    """End every process of the stack of `home`; returns their number.

    Call this only while no supervisor runs: it would restart them.
    """
    found = _members(home)
    # Postgres ends its own child processes, which must not be signalled directly.
    parents = [process for process in found if process.ppid() not in {other.pid for other in found}]
    _signal(parents, force=False)
    _, alive = psutil.wait_procs(found, timeout=_TERMINATE_SECONDS)
    _signal(alive, force=True)
    psutil.wait_procs(alive, timeout=_TERMINATE_SECONDS)
    return len(found)


def _members(home: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _stack_of(process) == str(home)]


def _stack_of(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.environ().get(STACK_VARIABLE)
    except psutil.Error:  # already gone, or another user's
        return None


def _signal(processes: Iterable[psutil.Process], *, force: bool) -> None:
    for process in processes:
        try:
            process.kill() if force else process.terminate()
        except psutil.NoSuchProcess:
            continue
