"""How many windows fit into memory."""

from __future__ import annotations

import pytest
from whisper.model import ModelDimensions

from transcription_dagster.whisper.batching.slot_memory import Room, room_in, slot_bytes

GB = 1 << 30
LARGE = ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 32)
TURBO = ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 4)


@pytest.mark.parametrize(
    ("dims", "beams", "megabytes"), [(LARGE, 1, 319), (LARGE, 5, 613), (TURBO, 1, 40), (TURBO, 5, 77)]
)
def test_a_slot_of_a_published_model_in_half_precision(dims: ModelDimensions, beams: int, megabytes: int) -> None:
    assert round(slot_bytes(dims, beams, 2) / 1e6) == megabytes


@pytest.mark.parametrize(("free", "slots", "together"), [(40, 32, 8), (11, 32, 6), (8, 26, 1), (1, 2, 1), (0, 1, 1)])
def test_free_memory_sets_the_number_of_slots_with_a_minimum_of_one(free: int, slots: int, together: int) -> None:
    room = room_in(free * GB, LARGE, wanted=32, together=8, beams=1, item=2)
    assert room == Room(slots, together)


def test_a_pass_has_at_most_as_many_windows_as_slots() -> None:
    assert room_in(40 * GB, LARGE, wanted=3, together=8, beams=1, item=2) == Room(3, 3)
