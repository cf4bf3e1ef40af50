from __future__ import annotations

import pytest

from transcription_dagster.refinement.claude_prices import price_of
from transcription_dagster.refinement.messages import Price, TokenUsage
from transcription_dagster.settings import Settings


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
