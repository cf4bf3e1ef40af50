"""Budgets and paid answers: how refinement accounts for money, independent of where the account is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Protocol

from transcription_dagster.refinement.messages import MessageReply, MessageRequest


@dataclass(frozen=True, slots=True)
class Budgets:
    """Budgets in dollars."""

    per_recording: float
    per_day: float


@dataclass(frozen=True, slots=True)
class Spent:
    """Dollars spent or reserved."""

    #: On the recording, within the last 24 hours.
    recording: float = 0.0
    #: On all recordings, since midnight UTC.
    today: float = 0.0


def refusal(needed: float, spent: Spent, limits: Budgets) -> str | None:
    """Return why `needed` more dollars must not be spent; None if they may."""
    left_today = limits.per_day - spent.today
    left = limits.per_recording - spent.recording
    if needed <= min(left, left_today):
        return None
    if left_today <= left:
        return f"it would cost about ${needed:.4f}, and ${max(left_today, 0.0):.4f} are left for today"
    already = f", of which ${spent.recording:.4f} are spent or set aside" if spent.recording else ""
    return f"it would cost about ${needed:.4f} more, and a recording may cost ${limits.per_recording:.4f}{already}"


def request_digest(request: MessageRequest) -> str:
    """Identify a request by its content: model, instructions, vocabulary, words and output schema.

    The cache lifetime is excluded: it changes the price, not the answer.
    """
    content = asdict(request)
    del content["cache"]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Account(Protocol):
    """The account of one recording. Safe to use from several threads."""

    def kept(self, digests: Collection[str]) -> Mapping[str, MessageReply]:
        """Return earlier paid replies by request digest."""
        ...

    def reserve(self, costs: Mapping[str, float]) -> str | None:
        """Reserve dollars for all the requests, or return why the budget does not allow it."""
        ...

    def sending(self, digest: str) -> None:
        """Record that a request is about to be sent: its reservation counts as spent if this process dies."""
        ...

    def unanswered(self, digest: str) -> None:
        """Release the reservation of an unanswered request."""
        ...

    def enter(self, digest: str, reply: MessageReply, dollars: float | None, *, usable: bool) -> None:
        """Replace a reservation by the reply and its cost; `dollars` is None if the price is unknown."""
        ...


class MemoryAccount:
    """An account in the memory of this process."""

    def __init__(self, limits: Budgets, spent: Spent | None = None) -> None:
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
        """Do nothing: this account ends with its process."""

    def unanswered(self, digest: str) -> None:
        with self._lock:
            self._reserved.pop(digest, None)

    def enter(self, digest: str, reply: MessageReply, dollars: float | None, *, usable: bool) -> None:
        with self._lock:
            self._reserved.pop(digest, None)
            self._kept[digest] = reply
            paid = dollars or 0.0
            self._spent = Spent(self._spent.recording + paid, self._spent.today + paid)
