"""Conversion of audio with any rate, format and number of channels to 16 kHz: mixed, and by channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import av
import numpy as np

from transcription_dagster.audio.formats import media_errors

#: Sample rate of all later steps, in hertz; Whisper and the voice detector both require it.
SAMPLE_RATE = 16_000

#: Two channels cancel each other if their difference has this many times the power of their sum (13 dB), as with a
#: microphone wired in reverse. Sound from two places never comes near it.
_OPPOSITE_POWER_RATIO = 20.0
#: They agree again if the sum has this many times the power of the difference.
_AGREEING_POWER_RATIO = 2.0
#: Half-life of the measured powers in seconds.
_MEMORY_SECONDS = 0.5

#: Longest silence in one array, so that a gap of hours needs no memory.
_SILENCE_PIECE_SECONDS = 60


class Mixer:
    """Mixes frames to one channel at `SAMPLE_RATE`; the frames' formats may change, as in joined files.

    Yields int16 arrays of shape (rows, samples). Row 0 is the mix. With `keep` channels, at least 2, the other rows are
    the channels; a frame with another number of channels gives its mix for each.
    """

    def __init__(self, keep: int = 0) -> None:
        #: Seconds in which the difference of two channels was used because their sum cancelled.
        self.opposite_phase_seconds = 0.0
        self._keep = keep
        self._resampler: av.AudioResampler | None = None
        self._downmix = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        self._made_for: tuple[str, str, int] | None = None
        self._phase = _Phase()
        #: Number of output samples still to be cut.
        self._samples_to_cut = 0

    def mix(self, frame: av.AudioFrame) -> Iterator[np.ndarray]:
        """Yield the output of a frame. Raises `UnusableAudio`."""
        with media_errors("holds audio of an unknown kind"):
            setup = (frame.format.name, frame.layout.name, frame.sample_rate)
        if setup != self._made_for:
            yield from self.flush()
        resampler = self._resampler
        if resampler is None:
            resampler = self._resampler = av.AudioResampler("s16", self._layout(frame), SAMPLE_RATE)
            self._downmix = av.AudioResampler("s16", "mono", SAMPLE_RATE)
            self._made_for = setup
        _silence_impossible_samples(frame)
        # The frame's position is already determined; a broken time stamp would make the resampler stretch it.
        frame.pts = None
        yield from self._resampled(resampler, frame)

    def _layout(self, frame: av.AudioFrame) -> str | av.AudioLayout:
        """Return the channel layout after resampling."""
        channels = frame.layout.nb_channels
        if channels == 2:
            return "stereo"
        return frame.layout if channels == self._keep else "mono"

    def silence(self, seconds: float) -> Iterator[np.ndarray]:
        """Yield a silence, after the rest of the resampler's output."""
        yield from self.flush()
        left = round(seconds * SAMPLE_RATE)
        while left > 0:
            size = min(left, _SILENCE_PIECE_SECONDS * SAMPLE_RATE)
            yield np.zeros((1 + self._keep, size), np.int16)
            left -= size

    def cut(self, seconds: float) -> None:
        """Skip the next `seconds` of sound."""
        self._samples_to_cut += round(seconds * SAMPLE_RATE)

    def flush(self) -> Iterator[np.ndarray]:
        """Yield the rest of the resampler's output."""
        if self._resampler is not None:
            yield from self._resampled(self._resampler, None)
        self._resampler = None

    def _resampled(self, resampler: av.AudioResampler, frame: av.AudioFrame | None) -> Iterator[np.ndarray]:
        with media_errors("holds audio that cannot be mixed to one channel"):
            parts = resampler.resample(frame)
        for part in parts:
            rows = self._rows(part)
            dropped = min(self._samples_to_cut, rows.shape[1])
            self._samples_to_cut -= dropped
            if dropped < rows.shape[1]:
                yield rows[:, dropped:]

    def _rows(self, part: av.AudioFrame) -> np.ndarray:
        count = part.layout.nb_channels
        channels = part.to_ndarray().reshape(-1, count).T
        if count == 1:
            mono = channels[0]
        elif count == 2:
            mono = self._mixed_pair(*channels.astype(np.int32))
        else:
            mono = self._mixed_many(part)
        if not self._keep:
            return mono[None]
        kept = channels if count == self._keep else np.broadcast_to(mono, (self._keep, mono.size))
        return np.concatenate([mono[None], kept])

    def _mixed_pair(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        if self._phase.is_opposite(left, right):
            self.opposite_phase_seconds += left.size / SAMPLE_RATE
            right = -right
        return ((left + right) // 2).astype(np.int16)

    def _mixed_many(self, part: av.AudioFrame) -> np.ndarray:
        """Mix with FFmpeg's weights for the layout; at an unchanged rate the resampler buffers nothing."""
        part.pts = None
        with media_errors("holds audio that cannot be mixed to one channel"):
            return np.concatenate([mixed.to_ndarray().reshape(-1) for mixed in self._downmix.resample(part)])


def _silence_impossible_samples(frame: av.AudioFrame) -> None:
    """Replace NaN and infinite floating-point samples by silence, because the resampler would spread them."""
    if frame.format.name.rstrip("p") not in ("flt", "dbl"):
        return
    for plane in frame.planes:
        # A plane is a buffer, although PyAV's types do not say so.
        buffer = cast("memoryview", plane)
        samples = np.frombuffer(buffer, np.float32 if frame.format.bytes == 4 else np.float64)
        if not np.isfinite(samples).all():
            plane.update(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0).tobytes())


class _Phase:
    """Detects whether two channels cancel each other, from the recent power of their sum and difference."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._difference = 0.0
        self._opposite = False

    def is_opposite(self, left: np.ndarray, right: np.ndarray) -> bool:
        forget = 0.5 ** (left.size / (_MEMORY_SECONDS * SAMPLE_RATE))
        self._sum = self._sum * forget + float(np.square(left + right, dtype=np.float64).sum())
        self._difference = self._difference * forget + float(np.square(left - right, dtype=np.float64).sum())
        if self._difference > _OPPOSITE_POWER_RATIO * self._sum:
            self._opposite = True
        elif self._sum > _AGREEING_POWER_RATIO * self._difference:
            self._opposite = False
        return self._opposite
