"""What may be spent on Claude, and what was bought: how refinement deals with money, wherever the books are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Protocol

from transcription_dagster.refinement.messages import MessageReply, MessageRequest


@dataclass(frozen=True, slots=True)
class Limits:
    """Dollars that may be spent."""

    per_recording: float
    per_day: float


@dataclass(frozen=True, slots=True)
class Spent:
    """Dollars that are gone or set aside."""

    #: On the recording, within the last 24 hours.
    recording: float = 0.0
    #: On all recordings, since midnight UTC.
    today: float = 0.0


def refusal(needed: float, spent: Spent, limits: Limits) -> str | None:
    """Say why `needed` dollars more must not be spent; None where they may."""
    left_today = limits.per_day - spent.today
    left = limits.per_recording - spent.recording
    if needed <= min(left, left_today):
        return None
    if left_today <= left:
        return f"it would cost about ${needed:.4f}, and ${max(left_today, 0.0):.4f} are left for today"
    already = f", of which ${spent.recording:.4f} are spent or set aside" if spent.recording else ""
    return f"it would cost about ${needed:.4f} more, and a recording may cost ${limits.per_recording:.4f}{already}"


def request_digest(request: MessageRequest) -> str:
    """Identify a question by its content: the model, the instructions, the vocabulary, the words, the form asked for.

    How long the prefix stays cached is left out: it changes the price, not the answer.
    """
    content = asdict(request)
    del content["cache"]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Account(Protocol):
    """The books of one recording. Safe to use from several threads."""

    def kept(self, digests: Collection[str]) -> Mapping[str, MessageReply]:
        """Return the replies that were paid for earlier, by the digest of their request."""
        ...

    def reserve(self, costs: Mapping[str, float]) -> str | None:
        """Set dollars aside for requests, all or none; say why where the budget does not allow it."""
        ...

    def sending(self, digest: str) -> None:
        """Note that a request is about to be sent, so that its reservation is money spent if this process dies."""
        ...

    def unanswered(self, digest: str) -> None:
        """Release the reservation of a request that brought no reply."""
        ...

    def enter(self, digest: str, reply: MessageReply, dollars: float | None, *, usable: bool) -> None:
        """Enter what a reply cost and keep it, in place of its reservation. `dollars` is None at an unknown price."""
        ...


class MemoryAccount:
    """An account for this process alone, which nothing outlives."""

    def __init__(self, limits: Limits, spent: Spent | None = None) -> None:
        self._limits = limits
        self._spent = spent or Spent()
        self._reserved: dict[str, float] = {}
        self._kept: dict[str, MessageReply] = {}
        self._lock = Lock()

    def kept(self, digests: Collection[str]) -> Mapping[str, MessageReply]:
        with self._lock:
            return {digest: self._kept[digest] for digest in digests if digest in self._kept}

    def reserve(self, costs: Mapping[str, float]) -> str | None:
        with self._lock:
            reserved = sum(self._reserved.values())
            spent = Spent(self._spent.recording + reserved, self._spent.today + reserved)
            if refused := refusal(sum(costs.values()), spent, self._limits):
                return refused
            self._reserved.update(costs)
        return None

    def sending(self, digest: str) -> None:
        """Nothing to note: this account ends with its process."""

    def unanswered(self, digest: str) -> None:
        with self._lock:
            self._reserved.pop(digest, None)

    def enter(self, digest: str, reply: MessageReply, dollars: float | None, *, usable: bool) -> None:
        with self._lock:
            self._reserved.pop(digest, None)
            self._kept[digest] = reply
            paid = dollars or 0.0
            self._spent = Spent(self._spent.recording + paid, self._spent.today + paid)
