"""Whether a worker is alive: the one definition that the watchers, the launcher, the coordinator and `status` share.

A worker beats: every few seconds it raises a counter in the database. Whoever looks compares beats, never clocks: a
worker is dead when its beat has stood still for long enough by the looker's own monotonic clock. So neither a step of
any machine's clock nor a suspended machine makes a living worker look dead.
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

#: A process that exists and does not beat for so long hangs, and counts as dead. Much longer than a worker elsewhere is
#: given: one that is starved of processor time must not lose its work to others that are starved as well.
HANGING_SECONDS = 60.0

#: Beats that a worker has to miss to be dead although its process is known to be gone: the process that was looked for
#: may be another's number for the same worker, and a beat outweighs it.
_MISSED_BEATS = 2

#: After a look that came too late, a worker gets this share of `stale_seconds` more: the database was away, or the
#: looker itself was stopped, and the living need time to be heard again.
_EXTRA_SHARE = 0.5

#: For so long a worker is remembered that is not among those looked at any more.
_REMEMBERED_SECONDS = 3600.0

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True, slots=True)
class Identity:
    """One worker process, told apart from every other anywhere and at any time."""

    host: str
    pid: int
    #: Where `pid` means something: a boot of a kernel and a pid namespace.
    place: str
    #: Random, so that clones of a machine and restarted containers differ.
    token: str

    @classmethod
    def of_this_process(cls) -> Identity:
        """A new identity; a process makes one when it starts to work."""
        return cls(socket.gethostname(), os.getpid(), this_place(), secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What one look at the database told about a worker."""

    worker: str
    #: Differs from one beat of the worker to the next.
    beat: str | None
    place: str | None
    pid: int | None


@dataclass(slots=True)
class _Record:
    beat: str | None
    looked_at: float
    #: Seconds for which the beat was seen to stand still.
    silence: float = 0.0
    #: Whether the beat was ever seen to change.
    heard: bool = False


class LivenessMonitor:
    """Tells from a series of looks who is dead."""

    def __init__(
        self,
        *,
        stale_seconds: float,
        beat_seconds: float,
        poll_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A worker beats every `beat_seconds`; looks are `poll_seconds` apart, by default not more than a beat.

        `clock` must not jump; it may stand still while the machine is suspended.
        """
        self._stale_seconds = stale_seconds
        self._beat_seconds = beat_seconds
        self._longest_gap = 2 * max(beat_seconds, poll_seconds or 0.0)
        self._clock = clock
        self._records: dict[str, _Record] = {}

    def observe(self, signs: Iterable[Heartbeat]) -> set[str]:
        """Take in what was seen; returns which of these workers are dead."""
        now = self._clock()
        dead = {sign.worker for sign in signs if self._silence(sign, now) >= self._limit(sign)}
        self._forget(now)
        return dead

    def is_beating(self, worker: str) -> bool:
        """Whether the worker was heard at the last look or not long before it."""
        record = self._records.get(worker)
        return record is not None and record.heard and record.silence < self._stale_seconds

    def _silence(self, sign: Heartbeat, now: float) -> float:
        record = self._records.get(sign.worker)
        if record is None:
            self._records[sign.worker] = _Record(sign.beat, now)
            return 0.0
        gap, record.looked_at = now - record.looked_at, now
        if record.beat != sign.beat:
            record.beat, record.silence, record.heard = sign.beat, 0.0, True
        elif gap > self._longest_gap:
            record.silence = -_EXTRA_SHARE * self._stale_seconds
        else:
            record.silence += gap
        return record.silence

    def _limit(self, sign: Heartbeat) -> float:
        """Seconds of silence after which the worker is dead."""
        if sign.pid is None or sign.place != this_place():
            return self._stale_seconds
        if process_exists(sign.pid):
            return max(HANGING_SECONDS, self._stale_seconds)
        return min(_MISSED_BEATS * self._beat_seconds, self._stale_seconds)

    def _forget(self, now: float) -> None:
        """Drop those who were not looked at for long: they have left."""
        long_ago = now - _REMEMBERED_SECONDS
        for worker in [worker for worker, record in self._records.items() if record.looked_at < long_ago]:
            del self._records[worker]


@cache
def this_place() -> str:
    """Name the place in which this process's number means something.

    Where the kernel does not tell (no Linux), every process is in a place of its own and is judged by its beat alone.
    """
    try:
        return f"{_BOOT_ID.read_text(encoding='ascii').strip()}:{_PID_NAMESPACE.stat().st_ino}"
    except OSError:
        return secrets.token_hex(16)


def process_exists(pid: int) -> bool:
    """Whether this place has a process with this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
