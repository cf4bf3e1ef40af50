"""The parts of the word alignment."""

from __future__ import annotations

import pytest
import torch
from whisper.timing import median_filter

from transcription_dagster.whisper.batching.alignment import median


@pytest.mark.parametrize("shape", [(2, 5, 4), (8, 40, 90), (1, 3, 3), (3, 1, 7)])
def test_the_median_is_bit_identical_to_whispers(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).round(decimals=1)
    assert median(x).equal(median_filter(x, 7))


def test_nan_is_preserved():
    x = torch.full((1, 2, 20), torch.nan)
    assert median(x).isnan().all()
