"""The normalised audio of a recording, a 16-bit FLAC at 16 kHz: write it, read it in blocks, measure and silence it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np

from transcription_dagster.audio.container import AudioTrack, open_container, open_source
from transcription_dagster.audio.formats import Opening
from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.audio.track_choice import track_choices

#: FLAC's channel layout for each number of channels (RFC 9639, section 9.1.3).
_LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
MAX_CHANNELS = len(_LAYOUTS)

#: Level in dBFS of the smallest 16-bit step; digital silence counts as this.
FLOOR_DBFS = -90.3

#: An hour of peaks takes 72 kB.
PEAKS_PER_SECOND = 20
_SAMPLES_PER_PEAK = SAMPLE_RATE // PEAKS_PER_SECOND

_BLOCK_SECONDS = 60.0


class FlacWriter:
    """A FLAC file with `channels` channels, at most `MAX_CHANNELS`; it is complete after the block."""

    def __init__(self, path: Path, channels: int) -> None:
        self._layout = _LAYOUTS[channels - 1]
        self._container = av.open(str(path), mode="w", format="flac")
        self._stream = self._container.add_stream("flac", rate=SAMPLE_RATE, options={"compression_level": "5"})
        self._stream.codec_context.layout = self._layout
        self._stream.codec_context.format = "s16"

    def write(self, samples: np.ndarray) -> None:
        """Append int16 samples of shape (channels, samples)."""
        interleaved = np.ascontiguousarray(samples.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=self._layout)
        frame.sample_rate = SAMPLE_RATE
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


@contextmanager
def _open_track(path: Path, *, keep_channels: bool = False) -> Iterator[AudioTrack]:
    """Open the best audio track of a recording. Raises `SourceNotFound` or `UnusableAudio`."""
    with open_source(path) as reader, open_container(reader, Opening()) as container:
        choice = track_choices(container, None)[0]
        yield AudioTrack(container, choice.indexes[0], keep_channels=keep_channels)


def read_blocks(path: Path, block_seconds: float, channel: int | None = None) -> Iterator[np.ndarray]:
    """Yield a recording in any format as float32 arrays of shape (samples,) in [-1, 1], 16 kHz mono.

    Each array holds `block_seconds`, the last one perhaps less. `channel` is a channel's number from 0; None mixes
    all channels. Raises `SourceNotFound` or `UnusableAudio`.
    """
    size = max(1, round(block_seconds * SAMPLE_RATE))
    with _open_track(path, keep_channels=channel is not None) as track:
        row = 0 if channel is None or track.channels == 1 else 1 + channel
        for block in in_blocks(track.samples(), size):
            yield block[row].astype(np.float32) / 32768.0


def read_channels(path: Path, block_seconds: float) -> Iterator[np.ndarray]:
    """Yield a FLAC as int16 arrays of shape (channels, samples), each of `block_seconds`, the last one perhaps less.

    Raises `SourceNotFound` or `UnusableAudio`.
    """
    size = max(1, round(block_seconds * SAMPLE_RATE))
    with _open_track(path, keep_channels=True) as track:
        for block in in_blocks(track.samples(), size):
            yield block[-track.channels :]


def channels_of(path: Path) -> int:
    """Return the number of channels of a recording written by `normalise`."""
    with _open_track(path) as track:
        return track.channels


def claimed_seconds(path: Path) -> float | None:
    """Return a recording's length by its header, without decoding; exact for files written by `normalise`."""
    with _open_track(path) as track:
        return track.claimed_seconds


def in_blocks(parts: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Re-cut a stream of arrays of shape (rows, samples) into arrays of `size` samples, the last one shorter."""
    waiting: list[np.ndarray] = []
    held = 0
    for part in parts:
        waiting.append(part)
        held += part.shape[1]
        if held >= size:
            joined = np.concatenate(waiting, axis=1)
            whole = held - held % size
            yield from np.split(joined[:, :whole], whole // size, axis=1)
            waiting, held = [joined[:, whole:]], held - whole
    if held:
        yield np.concatenate(waiting, axis=1)


def levels(path: Path) -> tuple[tuple[float, float, float], ...]:
    """Return (start, end, level) for each second of a recording, in seconds and dBFS (root mean square)."""
    seconds: list[tuple[float, float, float]] = []
    for block in read_blocks(path, _BLOCK_SECONDS):
        start = seconds[-1][1] if seconds else 0.0
        for offset in range(0, len(block), SAMPLE_RATE):
            samples = block[offset : offset + SAMPLE_RATE].astype(np.float64)
            power = float(np.mean(samples**2))
            level = max(FLOOR_DBFS, 10 * np.log10(power)) if power > 0 else FLOOR_DBFS
            end = start + len(samples) / SAMPLE_RATE
            seconds.append((start, end, round(float(level), 1)))
            start = end
    return tuple(seconds)


def sound_peaks(path: Path) -> bytes:
    """Return the peak of each twentieth of a second of a recording: one byte each, 0 to 127 (full scale)."""
    return b"".join(_peaks(block) for block in read_blocks(path, _BLOCK_SECONDS))


def _peaks(block: np.ndarray) -> bytes:
    """Return the peaks of a block of shape (samples,) in [-1, 1]; an incomplete twentieth at its end counts as one."""
    padded = np.pad(np.abs(block), (0, -len(block) % _SAMPLES_PER_PEAK))
    peaks = padded.reshape(-1, _SAMPLES_PER_PEAK).max(axis=1, initial=0.0)
    return np.minimum(np.round(peaks * 127), 127).astype(np.int8).tobytes()


def write_silenced(source: Path, target: Path, spans: Sequence[tuple[float, float]]) -> None:
    """Copy the FLAC `source` to `target` with all channels silent in `spans` (start, end in seconds)."""
    with FlacWriter(target, channels_of(source)) as flac:
        start = 0
        for block in read_channels(source, _BLOCK_SECONDS):
            samples = block.copy()
            for first, last in _sample_ranges(spans):
                samples[:, max(0, first - start) : max(0, last - start)] = 0
            flac.write(samples)
            start += samples.shape[1]


def audible_spans(path: Path, spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return those of `spans` (start, end in seconds) in which a recording is not silent throughout."""
    audible = np.zeros(len(spans), bool)
    start = 0
    for block in read_channels(path, _BLOCK_SECONDS):
        for number, (first, last) in enumerate(_sample_ranges(spans)):
            audible[number] |= block[:, max(0, first - start) : max(0, last - start)].any()
        start += block.shape[1]
    return [span for span, is_audible in zip(spans, audible, strict=True) if is_audible]


def _sample_ranges(spans: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
    return [(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in spans]
