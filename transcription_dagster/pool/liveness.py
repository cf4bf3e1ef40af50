"""Liveness of workers: the only definition, for the reaper, the launcher, the coordinator and `status`.

A worker increments a counter in the database every few seconds. Observers compare counters, never clocks: a worker is
dead when its counter has not changed for long enough on the observer's own monotonic clock. Neither a clock change nor
a suspended machine makes a live worker appear dead.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Seconds without a heartbeat after which a process that still exists counts as hung, and so as dead. Much longer than
#: for a worker on another machine: a worker starved of CPU time must not lose its work to others that are starved too.
HANGING_SECONDS = 60.0

#: Heartbeats that a worker must miss to count as dead once its process is gone. More than one, because the pid may be
#: wrong.
_MISSED_BEATS = 2

#: Fraction of `stale_seconds` added after a late observation: the database was unavailable or the observer was
#: suspended, and live workers need time for the next heartbeat.
_EXTRA_SHARE = 0.5

#: Seconds for which a worker that is no longer observed is remembered.
_REMEMBERED_SECONDS = 3600.0

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True, slots=True)
class Identity:
    """One worker process, unique across machines and time."""

    host: str
    pid: int
    #: The kernel boot and pid namespace in which `pid` is valid.
    place: str
    #: Random, so that cloned machines and restarted containers differ.
    token: str

    @classmethod
    def of_this_process(cls) -> Identity:
        """Return a new identity; a process creates one when it starts."""
        return cls(socket.gethostname(), os.getpid(), this_place(), secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One observation of a worker in the database."""

    worker: str
    #: Changes with every heartbeat of the worker.
    beat: str | None
    place: str | None
    pid: int | None


@dataclass(slots=True)
class _Record:
    beat: str | None
    observed_at: float
    #: Seconds for which the counter was observed unchanged.
    silence: float = 0.0
    #: True once the counter was observed to change.
    has_beaten: bool = False


class LivenessMonitor:
    """Decides from repeated observations which workers are dead."""

    def __init__(
        self,
        *,
        stale_seconds: float,
        beat_seconds: float,
        poll_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Workers beat every `beat_seconds`; observations are `poll_seconds` apart, by default at most that.

        `clock` must be monotonic; it may stop while the machine is suspended.
        """
        self._stale_seconds = stale_seconds
        self._beat_seconds = beat_seconds
        self._longest_gap = 2 * max(beat_seconds, poll_seconds or 0.0)
        self._clock = clock
        self._records: dict[str, _Record] = {}

    def observe(self, heartbeats: Iterable[Heartbeat]) -> set[str]:
        """Record observations; return which of these workers are dead."""
        now = self._clock()
        dead = {heartbeat.worker for heartbeat in heartbeats if self._silence(heartbeat, now) >= self._limit(heartbeat)}
        self._forget(now)
        return dead

    def is_beating(self, worker: str) -> bool:
        """Return True if the worker sent a heartbeat within the last `stale_seconds`."""
        record = self._records.get(worker)
        return record is not None and record.has_beaten and record.silence < self._stale_seconds

    def _silence(self, heartbeat: Heartbeat, now: float) -> float:
        record = self._records.get(heartbeat.worker)
        if record is None:
            self._records[heartbeat.worker] = _Record(heartbeat.beat, now)
            return 0.0
        gap, record.observed_at = now - record.observed_at, now
        if record.beat != heartbeat.beat:
            record.beat, record.silence, record.has_beaten = heartbeat.beat, 0.0, True
        elif gap > self._longest_gap:
            record.silence = -_EXTRA_SHARE * self._stale_seconds
        else:
            record.silence += gap
        return record.silence

    def _limit(self, heartbeat: Heartbeat) -> float:
        """Return the seconds without a heartbeat after which the worker is dead."""
        if heartbeat.pid is None or heartbeat.place != this_place():
            return self._stale_seconds
        if process_exists(heartbeat.pid):
            return max(HANGING_SECONDS, self._stale_seconds)
        return min(_MISSED_BEATS * self._beat_seconds, self._stale_seconds)

    def _forget(self, now: float) -> None:
        """Drop workers that have not been observed for long."""
        long_ago = now - _REMEMBERED_SECONDS
        for worker in [worker for worker, record in self._records.items() if record.observed_at < long_ago]:
            del self._records[worker]


@cache
def this_place() -> str:
    """Return the kernel boot and pid namespace of this process.

    On systems other than Linux every process has a scope of its own, and only its heartbeats count.
    """
    try:
        return f"{_BOOT_ID.read_text(encoding='ascii').strip()}:{_PID_NAMESPACE.stat().st_ino}"
    except OSError:
        return secrets.token_hex(16)


def process_exists(pid: int) -> bool:
    """Return True if a process with this pid exists here."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
