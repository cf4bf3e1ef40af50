"""How many windows fit into memory."""

from __future__ import annotations

import pytest
from whisper.model import ModelDimensions

from transcription_dagster.whisper.batching.slot_memory import slot_bytes, slots_in

GB = 1 << 30
LARGE = ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 32)
TURBO = ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 4)


@pytest.mark.parametrize(
    ("dims", "beams", "megabytes"), [(LARGE, 1, 319), (LARGE, 5, 613), (TURBO, 1, 40), (TURBO, 5, 77)]
)
def test_a_slot_of_a_published_model_in_half_precision(dims: ModelDimensions, beams: int, megabytes: int) -> None:
    assert round(slot_bytes(dims, beams, 2) / 1e6) == megabytes


@pytest.mark.parametrize(("free", "wanted", "slots"), [(40, 32, 32), (40, 3, 3), (8, 32, 26), (1, 32, 2), (0, 32, 1)])
def test_free_memory_sets_the_number_of_slots_with_a_minimum_of_one(free: int, wanted: int, slots: int) -> None:
    assert slots_in(free * GB, LARGE, wanted=wanted, beams=1, item=2) == slots
