"""Inspect processes that may end at any time: Postgres has one per connection, and some for maintenance."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

import psutil

Answer = TypeVar("Answer")


def of_each(processes: Iterable[psutil.Process], ask: Callable[[psutil.Process], Answer]) -> list[Answer]:
    """Return `ask`'s result for each process that still exists."""
    answers = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            answers.append(ask(process))
    return answers


def below(pid: int) -> list[psutil.Process]:
    """Return the descendants of `pid`."""
    return psutil.Process(pid).children(recursive=True)


def running_yet(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return the processes that still run, without zombies."""
    states = of_each(processes, lambda process: (process, process.is_running() and process.status()))
    return [process for process, state in states if state not in (False, psutil.STATUS_ZOMBIE)]


def addresses(processes: Iterable[psutil.Process]) -> set[str]:
    """Return the network addresses on which they listen."""
    return {
        connection.laddr.ip
        for connections in of_each(processes, lambda process: process.net_connections("inet"))
        for connection in connections
        if connection.status == psutil.CONN_LISTEN
    }
