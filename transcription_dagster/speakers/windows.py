"""Overlapping windows over a recording of any length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Consecutive windows at a fixed step."""

    #: Number of the first window in the recording.
    first: int
    #: The sound of all of them, float32 of shape (samples,).
    samples: np.ndarray
    #: float32 of shape (windows, samples of a window): views into the sound.
    windows: np.ndarray
    #: Whether it is the last batch of the recording.
    is_last: bool = False


def batches(blocks: Iterable[np.ndarray], *, window: int, step: int, size: int) -> Iterator[WindowBatch]:
    """Cut sound, given in blocks of any length, into windows of `window` samples every `step`, `size` per batch.

    The last window is padded with silence, so that every sample is in a window; empty sound has no windows.
    """
    held: WindowBatch | None = None
    for batch in _cut(blocks, window, step, size):
        if held is not None:
            yield held
        held = batch
    if held is not None:
        yield replace(held, is_last=True)


def _cut(blocks: Iterable[np.ndarray], window: int, step: int, size: int) -> Iterator[WindowBatch]:
    first, pending, more = 0, np.zeros(0, np.float32), iter(blocks)
    whole = window + (size - 1) * step
    while True:
        parts = [pending]
        missing = whole - pending.size
        while missing > 0 and (block := next(more, None)) is not None:
            parts.append(block)
            missing -= block.size
        pending = np.concatenate(parts)
        if pending.size < whole:
            break
        yield _batch(first, pending[:whole], window, step)
        first, pending = first + size, pending[size * step :]
    # Samples that earlier windows have not covered yet.
    if pending.size > (window - step if first else 0):
        count = 1 + max(0, -(-(pending.size - window) // step))
        sound = np.zeros(window + (count - 1) * step, np.float32)
        sound[: pending.size] = pending
        yield _batch(first, sound, window, step)


def _batch(first: int, samples: np.ndarray, window: int, step: int) -> WindowBatch:
    return WindowBatch(first, samples, np.lib.stride_tricks.sliding_window_view(samples, window)[::step])
