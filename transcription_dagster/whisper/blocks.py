"""Cut a recording of any length into blocks that fit in memory, at quiet places.

Whisper computes the spectrogram of its whole input first, which takes gigabytes for a ten-hour recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.whisper.voice_activity import Sound, analyse

#: Length of a block in seconds.
_PIECE_SECONDS = 30.0
#: Seconds at the end of a block that are searched for the quietest place to cut.
_SEARCH_SECONDS = 60.0
#: Width of that place in seconds: long enough for a pause between sentences, longer than the closure of a consonant.
_QUIET_SECONDS = 0.4
#: Energies are compared at steps of this length.
_STEP_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a recording."""

    #: Seconds from the start of the recording.
    offset: float
    #: float32 of shape (samples,), 16 kHz mono in [-1, 1].
    samples: np.ndarray
    #: Levels and voice activity of the samples.
    sound: Sound

    @property
    def seconds(self) -> float:
        return self.samples.size / SAMPLE_RATE


def blocks_of(path: Path, block_seconds: float, channel: int | None = None) -> Iterator[Block]:
    """Yield a recording as measured blocks of at most `block_seconds`; a short recording is a single block.

    `channel` is a channel's number from 0; None mixes all channels.
    """
    for offset, samples in cut_at_quiet_places(read_blocks(path, _PIECE_SECONDS, channel), block_seconds):
        yield Block(offset, samples, analyse(samples))


def read_ahead(blocks: Iterator[Block]) -> Iterator[Block]:
    """Yield `blocks`, computing each in another thread while the caller works on the one before it."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        block = next(blocks, None)
        while block is not None:
            following = reader.submit(next, blocks, None)
            yield block
            block = following.result()


def cut_at_quiet_places(pieces: Iterable[np.ndarray], block_seconds: float) -> Iterator[tuple[float, np.ndarray]]:
    """Cut sound, given in pieces of any length, at quiet places; yield each part with its offset in seconds.

    Pieces and parts are float32 of shape (samples,); no part is longer than `block_seconds`.
    """
    limit = round(block_seconds * SAMPLE_RATE)
    buffer = np.zeros(0, np.float32)
    start = 0
    for piece in pieces:
        buffer = np.concatenate([buffer, piece])
        while buffer.size > limit:
            place = quiet_place(buffer[:limit])
            yield start / SAMPLE_RATE, buffer[:place]
            buffer, start = buffer[place:], start + place
    if buffer.size:
        yield start / SAMPLE_RATE, buffer


def quiet_place(samples: np.ndarray) -> int:
    """Return the index of the middle of the quietest stretch near the end of `samples`, the last one in a tie."""
    step = round(_STEP_SECONDS * SAMPLE_RATE)
    width = round(_QUIET_SECONDS / _STEP_SECONDS)
    tail = samples[-min(samples.size // 2, round(_SEARCH_SECONDS * SAMPLE_RATE)) :]
    energies = np.square(tail[: tail.size - tail.size % step]).reshape(-1, step).mean(axis=1)
    if energies.size < width:
        return samples.size
    loudness = np.convolve(energies, np.ones(width), mode="valid")
    last = loudness.size - 1 - int(np.argmin(loudness[::-1]))
    return samples.size - tail.size + (last + width // 2) * step
