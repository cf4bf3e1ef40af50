"""Estimate the cost of requests before they are sent."""

from __future__ import annotations

from collections.abc import Sequence

from transcription_dagster.refinement.messages import MessageRequest, Price, TokenUsage

#: UTF-8 bytes per token: fewer than in English, and right for scripts with three bytes per character.
_BYTES_PER_TOKEN = 3
#: Shortest prefix in tokens that the API caches (the highest minimum of its models).
_CACHEABLE_TOKENS = 4_096
#: Tokens of an answer: a constant for its form and some thinking, and a share per byte shown (a tenth of the words
#: edited).
_ANSWER_TOKENS = 1_000
_ANSWER_TOKENS_PER_BYTE = 0.2


def estimate(requests: Sequence[MessageRequest], price: Price, *, batch: bool = False) -> float:
    """Return a likely upper bound, in dollars, on the cost of requests."""
    return sum(estimates(requests, price, batch=batch))


def estimates(requests: Sequence[MessageRequest], price: Price, *, batch: bool = False) -> list[float]:
    """Return the estimate for each request.

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
    shown = len(request.user.encode())
    answer = min(_ANSWER_TOKENS + int(shown * _ANSWER_TOKENS_PER_BYTE), request.max_tokens)
    return TokenUsage(input=shown // _BYTES_PER_TOKEN, output=answer)
