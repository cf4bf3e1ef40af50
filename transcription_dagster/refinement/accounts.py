"""How refinement accounts for money: prices, budgets, and paid answers, independent of where the account is stored.

Prices are updated here only: dollars per million tokens, from platform.claude.com/docs/en/about-claude/pricing as of
October 2026. Haiku 5.5 costs more for prompts above 100,000 tokens, far longer than any request here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Protocol

from transcription_dagster.refinement.messages import MessageReply, MessageRequest, Price, TokenUsage


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


def refusal(dollars: float, spent: Spent, limits: Budgets) -> str | None:
    """Return why `dollars` more dollars must not be spent; None if they may."""
    left_today = limits.per_day - spent.today
    left_for_recording = limits.per_recording - spent.recording
    if dollars <= min(left_for_recording, left_today):
        return None
    if left_today <= left_for_recording:
        return f"it would cost about ${dollars:.4f}, and ${max(left_today, 0.0):.4f} are left for today"
    already = f", of which ${spent.recording:.4f} are spent or set aside" if spent.recording else ""
    return f"it would cost about ${dollars:.4f} more, and a recording may cost ${limits.per_recording:.4f}{already}"


def request_digest(request: MessageRequest) -> str:
    """Identify a request by its content: model, instructions, vocabulary, words and output schema.

    The cache lifetime is excluded: it changes the price, not the answer.
    """
    content = asdict(request)
    del content["cache"]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Account(Protocol):
    """The account of one recording. Safe to use from several threads."""

    def paid_replies(self, digests: Collection[str]) -> Mapping[str, MessageReply]:
        """Return earlier paid replies by request digest."""
        ...

    def reserve(self, costs: Mapping[str, float]) -> str | None:
        """Reserve dollars for all the requests, or return why the budget does not allow it."""
        ...

    def mark_sent(self, digest: str) -> None:
        """Mark a request that is about to be sent: its reservation counts as spent if this process dies."""
        ...

    def release(self, digest: str) -> None:
        """Release the reservation of an unanswered request."""
        ...

    def record(self, digest: str, reply: MessageReply, dollars: float | None, *, usable: bool) -> None:
        """Replace a reservation by the reply and its cost; `dollars` is None if the price is unknown."""
        ...


class MemoryAccount:
    """An account in the memory of this process."""

    def __init__(self, limits: Budgets, spent: Spent | None = None) -> None:
        self._limits = limits
        self._spent = spent or Spent()
        self._reserved: dict[str, float] = {}
        self._replies: dict[str, MessageReply] = {}
        self._lock = Lock()

    def paid_replies(self, digests: Collection[str]) -> Mapping[str, MessageReply]:
        with self._lock:
            return {digest: self._replies[digest] for digest in digests if digest in self._replies}

    def reserve(self, costs: Mapping[str, float]) -> str | None:
        with self._lock:
            reserved = sum(self._reserved.values())
            spent = Spent(self._spent.recording + reserved, self._spent.today + reserved)
            if refused := refusal(sum(costs.values()), spent, self._limits):
                return refused
            self._reserved.update(costs)
        return None

    def mark_sent(self, digest: str) -> None:
        """Do nothing: this account ends with its process."""

    def release(self, digest: str) -> None:
        with self._lock:
            self._reserved.pop(digest, None)

    def record(self, digest: str, reply: MessageReply, dollars: float | None, *, usable: bool) -> None:
        with self._lock:
            self._reserved.pop(digest, None)
            self._replies[digest] = reply
            paid = dollars or 0.0
            self._spent = Spent(self._spent.recording + paid, self._spent.today + paid)


_PRICES = {
    "claude-fable-5-1": Price(input=10.0, output=50.0, cache_read=0.25),
    "claude-fable-5": Price(input=10.0, output=50.0, cache_read=1.0),
    "claude-mythos-5-1": Price(input=10.0, output=50.0, cache_read=0.25),
    "claude-mythos-5": Price(input=10.0, output=50.0, cache_read=1.0),
    "claude-opus-5-5": Price(input=4.0, output=20.0, cache_read=0.2),
    "claude-opus-5": Price(input=5.0, output=25.0, cache_read=0.5),
    "claude-opus-4-8": Price(input=5.0, output=25.0, cache_read=0.5),
    "claude-opus-4-7": Price(input=5.0, output=25.0, cache_read=0.5),
    "claude-opus-4-6": Price(input=5.0, output=25.0, cache_read=0.5),
    "claude-opus-4-5": Price(input=5.0, output=25.0, cache_read=0.5),
    "claude-sonnet-5-5": Price(input=2.0, output=10.0, cache_read=0.1),
    "claude-sonnet-5": Price(input=2.0, output=10.0, cache_read=0.2),
    "claude-sonnet-4-6": Price(input=3.0, output=15.0, cache_read=0.3),
    "claude-sonnet-4-5": Price(input=3.0, output=15.0, cache_read=0.3),
    "claude-haiku-5-5": Price(input=0.1, output=0.5, cache_read=0.01),
    "claude-haiku-4-5": Price(input=1.0, output=5.0, cache_read=0.1),
}
_SNAPSHOT = re.compile(r"-\d{8}\Z")


#: UTF-8 bytes per token: fewer than in English, and right for scripts with three bytes per character.
_BYTES_PER_TOKEN = 3
#: Shortest prefix in tokens that the API caches (the highest minimum of its models).
_CACHEABLE_TOKENS = 4_096
#: Tokens of an answer: a constant for its form and some thinking, and a share per byte shown (a tenth of the words
#: edited).
_ANSWER_TOKENS = 1_000
_ANSWER_TOKENS_PER_BYTE = 0.2


def price_of(model: str) -> Price | None:
    """Return the price of a model or of its dated snapshot; None if it is unknown."""
    return _PRICES.get(_SNAPSHOT.sub("", model))


def estimates(requests: Sequence[MessageRequest], price: Price, *, batch: bool = False) -> list[float]:
    """Return a likely upper bound, in dollars, on the cost of each request.

    In a batch nothing is assumed to come from the cache: concurrent requests write it more than once.
    """
    return [
        price.dollars(_prefix(request, cached=position > 0 and not batch) + _expected(request), batch=batch)
        for position, request in enumerate(requests)
    ]


def _prefix(request: MessageRequest, *, cached: bool) -> TokenUsage:
    tokens = sum(len(part.encode()) for part in request.system) // _BYTES_PER_TOKEN
    if tokens < _CACHEABLE_TOKENS:
        return TokenUsage(input=tokens)
    if cached:
        return TokenUsage(cache_read=tokens)
    return TokenUsage(cache_write_5m=tokens) if request.cache == "5m" else TokenUsage(cache_write_1h=tokens)


def _expected(request: MessageRequest) -> TokenUsage:
    prompt_bytes = len(request.user.encode())
    answer = min(_ANSWER_TOKENS + int(prompt_bytes * _ANSWER_TOKENS_PER_BYTE), request.max_tokens)
    return TokenUsage(input=prompt_bytes // _BYTES_PER_TOKEN, output=answer)
