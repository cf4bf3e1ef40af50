"""The outline of a recording's sound, as a waveform shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transcription_dagster.audio.decode import read_blocks
from transcription_dagster.audio.mixing import SAMPLE_RATE

#: An hour takes 72 kB.
PEAKS_PER_SECOND = 20

_BLOCK_SECONDS = 60
_SAMPLES = SAMPLE_RATE // PEAKS_PER_SECOND


def peaks(path: Path) -> bytes:
    """The loudest sample of each twentieth of a second of normalised audio: one byte each, 0 to 127 (full scale)."""
    return b"".join(_of_block(block) for block in read_blocks(path, _BLOCK_SECONDS))


def _of_block(block: np.ndarray) -> bytes:
    """The peaks of a block of shape (samples,) in [-1, 1]; what is left at its end counts as a whole twentieth."""
    padded = np.pad(np.abs(block), (0, -len(block) % _SAMPLES))
    loudest = padded.reshape(-1, _SAMPLES).max(axis=1, initial=0.0)
    return np.minimum(np.round(loudest * 127), 127).astype(np.int8).tobytes()
