"""Silencing stretches of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from transcription_dagster.audio.decode import channels_of, read_channels
from transcription_dagster.audio.flac import FlacWriter
from transcription_dagster.audio.mixing import SAMPLE_RATE

_BLOCK_SECONDS = 60.0


def write_silenced(source: Path, target: Path, spans: Sequence[tuple[float, float]]) -> None:
    """Write the FLAC `source`, made by `normalise`, with all channels silent in `spans` (start, end in seconds)."""
    with FlacWriter(target, channels_of(source)) as flac:
        start = 0
        for block in read_channels(source, _BLOCK_SECONDS):
            samples = block.copy()
            for first, last in _samples(spans):
                samples[:, max(0, first - start) : max(0, last - start)] = 0
            flac.write(samples)
            start += samples.shape[1]


def audible_spans(path: Path, spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return those of `spans` in which a recording is not silent throughout."""
    sounding = np.zeros(len(spans), bool)
    start = 0
    for block in read_channels(path, _BLOCK_SECONDS):
        for number, (first, last) in enumerate(_samples(spans)):
            sounding[number] |= block[:, max(0, first - start) : max(0, last - start)].any()
        start += block.shape[1]
    return [span for span, audible in zip(spans, sounding, strict=True) if audible]


def _samples(spans: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
    return [(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in spans]
