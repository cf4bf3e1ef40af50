"""What requests to Claude cost: prices of models, and estimates before they are sent."""

from __future__ import annotations

import pytest

from transcription_dagster.refinement.accounts import Budgets, MemoryAccount, Spent, estimates, price_of
from transcription_dagster.refinement.messages import MessageRequest, Price, TokenUsage
from transcription_dagster.settings import Settings

#: One dollar per input token, so that dollars count tokens; output is free.
INPUT_ONLY = Price(input=1_000_000.0, output=0.0, cache_read=100_000.0)


def request(*, prefix: int, displayed: int) -> MessageRequest:
    """Return a request of this many tokens."""
    return MessageRequest("m", ("xyz" * prefix,), "xyz" * displayed, {}, max_tokens=1000)


def test_a_short_prefix_is_paid_in_full_every_time() -> None:
    assert sum(estimates([request(prefix=100, displayed=10)] * 3, INPUT_ONLY)) == pytest.approx(3 * 110)


def test_a_long_prefix_is_written_once_and_then_read() -> None:
    requests = [request(prefix=5000, displayed=10)] * 3
    assert sum(estimates(requests, INPUT_ONLY)) == pytest.approx(5000 * 1.25 + 2 * 5000 * 0.1 + 30)


def test_a_batch_is_estimated_without_cache_at_half_the_price() -> None:
    requests = [request(prefix=5000, displayed=10)] * 3
    assert sum(estimates(requests, INPUT_ONLY, batch=True)) == pytest.approx((3 * 5000 * 1.25 + 30) / 2)


def test_reserved_dollars_are_not_available() -> None:
    account = MemoryAccount(Budgets(per_recording=250.0, per_day=1000.0))
    assert account.reserve({"a": 200.0}) is None
    assert account.reserve({"b": 200.0}) == (
        "it would cost about $200.0000 more, and a recording may cost $250.0000, "
        "of which $200.0000 are spent or set aside"
    )
    account.release("a")
    assert account.reserve({"b": 200.0}) is None


def test_dollars_spent_today_reduce_the_budget_of_every_recording() -> None:
    account = MemoryAccount(Budgets(per_recording=250.0, per_day=1000.0), Spent(today=900.0))
    assert account.reserve({"a": 200.0}) == "it would cost about $200.0000, and $100.0000 are left for today"


def test_the_model_of_the_settings_has_a_price() -> None:
    assert price_of(Settings.model_fields["claude_model"].default) is not None


def test_a_dated_snapshot_costs_what_its_model_costs() -> None:
    assert price_of("claude-haiku-4-5-20251001") == price_of("claude-haiku-4-5") is not None


def test_an_unknown_model_has_no_price() -> None:
    assert price_of("claude-unheard-of") is None


def test_each_kind_of_token_has_its_own_price_and_a_batch_is_half() -> None:
    million = 1_000_000
    usage = TokenUsage(
        input=million, output=million, cache_read=million, cache_write_5m=million, cache_write_1h=million
    )
    price = Price(input=2.0, output=10.0, cache_read=0.1)
    assert price.dollars(usage) == pytest.approx(2.0 + 10.0 + 0.1 + 2.5 + 4.0)
    assert price.dollars(usage, batch=True) == pytest.approx(18.6 / 2)
