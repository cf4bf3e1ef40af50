"""Windows over audio in blocks of any length."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.speakers.segmentation import batches

WINDOW, STEP = 10, 4


def windows(lengths: list[int], size: int = 3) -> list[np.ndarray]:
    sound = np.arange(1, sum(lengths) + 1, dtype=np.float32)
    blocks = np.split(sound, np.cumsum(lengths)[:-1])
    collected = []
    cut = list(batches(blocks, window=WINDOW, step=STEP, size=size))
    for batch in cut:
        assert batch.first == len(collected)
        collected += [window.copy() for window in batch.windows]
    assert [batch.is_last for batch in cut] == [False] * (len(cut) - 1) + [True] * bool(cut)
    return collected


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 4))
def test_every_sample_is_in_a_window_however_the_sound_is_cut(lengths: list[int], size: int) -> None:
    total = sum(lengths)
    cut = windows(lengths, size)
    for number, window in enumerate(cut):
        start = number * STEP
        inside = np.arange(start + 1, min(start + WINDOW, total) + 1)
        assert window.tolist() == [*inside, *[0] * (WINDOW - len(inside))]
    # Windows up to the last sample, and none after it.
    assert len(cut) == (0 if total == 0 else 1 + max(0, -(-(total - WINDOW) // STEP)))


def test_empty_sound_has_no_windows() -> None:
    assert windows([0]) == []
