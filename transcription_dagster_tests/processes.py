"""Look at processes, any of which may end meanwhile: Postgres has one for each connection, and some for its upkeep."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

import psutil

Answer = TypeVar("Answer")


def of_each(processes: Iterable[psutil.Process], ask: Callable[[psutil.Process], Answer]) -> list[Answer]:
    """What `ask` says of each of them; one that has ended says nothing."""
    answers = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            answers.append(ask(process))
    return answers


def below(pid: int) -> list[psutil.Process]:
    """The processes that `pid` has started, and those that they have."""
    return psutil.Process(pid).children(recursive=True)


def running_yet(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that do something yet; one that only nobody asked about does not."""
    states = of_each(processes, lambda process: (process, process.is_running() and process.status()))
    return [process for process, state in states if state not in (False, psutil.STATUS_ZOMBIE)]


def addresses(processes: Iterable[psutil.Process]) -> set[str]:
    """The network addresses on which they wait for connections."""
    return {
        connection.laddr.ip
        for connections in of_each(processes, lambda process: process.net_connections("inet"))
        for connection in connections
        if connection.status == psutil.CONN_LISTEN
    }
