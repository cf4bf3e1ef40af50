"""Prices of Claude models, to be updated here only.

Dollars per million tokens, from platform.claude.com/docs/en/about-claude/pricing as of October 2026. Haiku 5.5 costs
more for prompts above 100,000 tokens, far longer than any request here.
"""

from __future__ import annotations

import re

from transcription_dagster.refinement.messages import Price

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


def price_of(model: str) -> Price | None:
    """Return the price of a model or of its dated snapshot; None if it is unknown."""
    return _PRICES.get(_SNAPSHOT.sub("", model))
