from __future__ import annotations

import pytest

from transcription_dagster.messages import MessageRequest, Price
from transcription_dagster.refinement.budget import Budget, estimate
from transcription_dagster.refinement.results import RefinementSettings

#: A dollar for a token of input, so that dollars count tokens; nothing for the answer.
INPUT_ONLY = Price(input=1_000_000.0, output=0.0, cache_read=100_000.0)


def request(*, prefix: int, shown: int) -> MessageRequest:
    """A request of so many tokens."""
    return MessageRequest("m", ("xyz" * prefix,), "xyz" * shown, {}, max_tokens=1000)


def test_a_short_prefix_is_paid_in_full_every_time() -> None:
    assert estimate([request(prefix=100, shown=10)] * 3, INPUT_ONLY) == pytest.approx(3 * 110)


def test_a_long_prefix_is_written_once_and_then_read() -> None:
    requests = [request(prefix=5000, shown=10)] * 3
    assert estimate(requests, INPUT_ONLY) == pytest.approx(5000 * 1.25 + 2 * 5000 * 0.1 + 30)


def test_a_batch_counts_on_no_cache_and_costs_half() -> None:
    requests = [request(prefix=5000, shown=10)] * 3
    assert estimate(requests, INPUT_ONLY, batch=True) == pytest.approx((3 * 5000 * 1.25 + 30) / 2)


def test_what_is_taken_is_not_there_any_more() -> None:
    settings = RefinementSettings("m", max_dollars_per_recording=250.0, max_dollars_per_day=1000.0)
    budget = Budget(settings, INPUT_ONLY, spent_today=0.0)
    assert budget.take([request(prefix=100, shown=100)]) is None
    assert budget.take([request(prefix=100, shown=100)]) == (
        "it would cost about $200.0000 more, and a recording may cost $250.0000"
    )


def test_without_a_price_nothing_is_refused() -> None:
    settings = RefinementSettings("m", max_dollars_per_recording=0.0)
    assert Budget(settings, None, spent_today=0.0).take([request(prefix=9, shown=9)]) is None
