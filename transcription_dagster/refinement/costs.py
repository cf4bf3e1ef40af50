"""Prices of Claude models, and the cost of requests before they are sent.

Prices are updated here only: dollars per million tokens, from platform.claude.com/docs/en/about-claude/pricing as of
October 2026. Haiku 5.5 costs more for prompts above 100,000 tokens, far longer than any request here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from transcription_dagster.refinement.messages import MessageRequest, Price, TokenUsage

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
    shown = len(request.user.encode())
    answer = min(_ANSWER_TOKENS + int(shown * _ANSWER_TOKENS_PER_BYTE), request.max_tokens)
    return TokenUsage(input=shown // _BYTES_PER_TOKEN, output=answer)
