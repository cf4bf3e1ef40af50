"""The level of a recording, second by second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transcription_dagster.audio.decode import read_blocks
from transcription_dagster.audio.mixing import SAMPLE_RATE

#: Level in dBFS of the smallest 16-bit step; digital silence counts as this.
FLOOR_DBFS = -90.3

_BLOCK_SECONDS = 60


def levels(path: Path) -> tuple[tuple[float, float, float], ...]:
    """Yield (start, end, level) for each second of normalised audio, in seconds and dBFS (root mean square)."""
    found: list[tuple[float, float, float]] = []
    for block in read_blocks(path, _BLOCK_SECONDS):
        start = found[-1][1] if found else 0.0
        for offset in range(0, len(block), SAMPLE_RATE):
            second = block[offset : offset + SAMPLE_RATE].astype(np.float64)
            power = float(np.mean(second**2))
            level = max(FLOOR_DBFS, 10 * np.log10(power)) if power > 0 else FLOOR_DBFS
            end = start + len(second) / SAMPLE_RATE
            found.append((start, end, round(float(level), 1)))
            start = end
    return tuple(found)
