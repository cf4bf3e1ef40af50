"""How many windows fit."""

from __future__ import annotations

import pytest
from whisper.model import ModelDimensions

from transcription_dagster.whisper.slot_memory import slot_bytes, slots_that_fit

GB = 1 << 30
LARGE = ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 32)
TURBO = ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 4)


@pytest.mark.parametrize(
    ("dims", "beams", "megabytes"), [(LARGE, 1, 319), (LARGE, 5, 613), (TURBO, 1, 40), (TURBO, 5, 77)]
)
def test_a_slot_of_a_published_model_in_half_precision(dims: ModelDimensions, beams: int, megabytes: int) -> None:
    assert round(slot_bytes(dims, beams, 2) / 1e6) == megabytes


@pytest.mark.parametrize(("free", "slots"), [(40, 32), (8, 26), (1, 2), (0, 1)])
def test_what_is_free_decides_and_one_is_always_tried(free: int, slots: int) -> None:
    assert slots_that_fit(32, free * GB, LARGE, beams=1, item=2) == slots
