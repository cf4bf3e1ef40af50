"""Dollars: what requests may cost before they are sent, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from transcription_dagster.messages import MessageRequest, Price, Usage
from transcription_dagster.refinement.results import RefinementSettings

#: UTF-8 bytes to a token: less than English has, and right for scripts of three bytes a character.
_BYTES_PER_TOKEN = 3
#: The API caches no prefix shorter than this (the highest of its models' minimums).
_CACHEABLE_TOKENS = 4_096
#: Tokens of an answer: for the form of it and some thinking, and for each byte shown (a tenth of the words edited).
_ANSWER_TOKENS = 1_000
_ANSWER_TOKENS_PER_BYTE = 0.2


def estimate(requests: Sequence[MessageRequest], price: Price, *, batch: bool = False) -> float:
    """Return the dollars that requests will cost at most in all likelihood.

    In a batch nothing is taken to come from the cache: what runs there at the same time writes it more than once.
    """
    usage = Usage()
    for position, request in enumerate(requests):
        usage += _prefix(request, cached=position > 0 and not batch) + _expected(request)
    return price.dollars(usage, batch=batch)


def _prefix(request: MessageRequest, *, cached: bool) -> Usage:
    tokens = sum(len(part.encode()) for part in request.system) // _BYTES_PER_TOKEN
    if tokens < _CACHEABLE_TOKENS:
        return Usage(input=tokens)
    if cached:
        return Usage(cache_read=tokens)
    return Usage(cache_write_5m=tokens) if request.cache == "5m" else Usage(cache_write_1h=tokens)


def _expected(request: MessageRequest) -> Usage:
    shown = len(request.user.encode())
    answer = min(_ANSWER_TOKENS + int(shown * _ANSWER_TOKENS_PER_BYTE), request.max_tokens)
    return Usage(input=shown // _BYTES_PER_TOKEN, output=answer)


class Budget:
    """The dollars that one recording may still spend; safe to ask from several threads."""

    def __init__(self, settings: RefinementSettings, price: Price | None, spent_today: float) -> None:
        self._settings = settings
        self._price = price
        self._today = settings.max_dollars_per_day - spent_today
        self._left = min(settings.max_dollars_per_recording, self._today)
        self._lock = Lock()

    def take(self, requests: Sequence[MessageRequest], *, batch: bool = False) -> str | None:
        """Set aside what the requests will cost, or say why they must not be sent."""
        if self._price is None:
            return None
        needed = estimate(requests, self._price, batch=batch)
        with self._lock:
            if needed > self._left:
                return self._refusal(needed)
            self._left -= needed
        return None

    def _refusal(self, needed: float) -> str:
        limit = self._settings.max_dollars_per_recording
        if self._today <= limit:
            return f"it would cost about ${needed:.4f}, and ${max(self._today, 0.0):.4f} are left for today"
        return f"it would cost about ${needed:.4f} more, and a recording may cost ${limit:.4f}"
