"""Dollars: what requests cost before they are sent."""

from __future__ import annotations

from collections.abc import Sequence

from transcription_dagster.refinement.messages import MessageRequest, Price, Usage

#: UTF-8 bytes to a token: less than English has, and right for scripts of three bytes a character.
_BYTES_PER_TOKEN = 3
#: The API caches no prefix shorter than this (the highest of its models' minimums).
_CACHEABLE_TOKENS = 4_096
#: Tokens of an answer: for the form of it and some thinking, and for each byte shown (a tenth of the words edited).
_ANSWER_TOKENS = 1_000
_ANSWER_TOKENS_PER_BYTE = 0.2


def estimate(requests: Sequence[MessageRequest], price: Price, *, batch: bool = False) -> float:
    """Return the dollars that requests will cost at most in all likelihood."""
    return sum(estimates(requests, price, batch=batch))


def estimates(requests: Sequence[MessageRequest], price: Price, *, batch: bool = False) -> list[float]:
    """Return what `estimate` adds up, request by request.

    In a batch nothing is taken to come from the cache: what runs there at the same time writes it more than once.
    """
    return [
        price.dollars(_prefix(request, cached=position > 0 and not batch) + _expected(request), batch=batch)
        for position, request in enumerate(requests)
    ]


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
