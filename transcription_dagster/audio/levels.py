"""Levels of a recording by second, and the peaks of its waveform."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transcription_dagster.audio.decode import read_blocks
from transcription_dagster.audio.mixing import SAMPLE_RATE

#: Level in dBFS of the smallest 16-bit step; digital silence counts as this.
FLOOR_DBFS = -90.3

#: An hour takes 72 kB.
PEAKS_PER_SECOND = 20
_SAMPLES_PER_PEAK = SAMPLE_RATE // PEAKS_PER_SECOND

_BLOCK_SECONDS = 60


def levels(path: Path) -> tuple[tuple[float, float, float], ...]:
    """Return (start, end, level) for each second of normalised audio, in seconds and dBFS (root mean square)."""
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


def sound_peaks(path: Path) -> bytes:
    """Return the peak of each twentieth of a second of normalised audio: one byte each, 0 to 127 (full scale)."""
    return b"".join(_of_block(block) for block in read_blocks(path, _BLOCK_SECONDS))


def _of_block(block: np.ndarray) -> bytes:
    """Return the peaks of a block of shape (samples,) in [-1, 1]; an incomplete twentieth at its end counts as one."""
    padded = np.pad(np.abs(block), (0, -len(block) % _SAMPLES_PER_PEAK))
    loudest = padded.reshape(-1, _SAMPLES_PER_PEAK).max(axis=1, initial=0.0)
    return np.minimum(np.round(loudest * 127), 127).astype(np.int8).tobytes()
