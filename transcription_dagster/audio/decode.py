"""Recordings of any format to the one that the rest of the program reads: 16 kHz mono 16-bit FLAC."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from transcription_dagster.audio.container import SAMPLE_RATE, AudioTrack, open_container, open_source
from transcription_dagster.audio.riff import missing_bytes
from transcription_dagster.errors import UnusableAudio

#: A header is believed to this share of its claim; encoders pad and trim.
_CLAIM_TOLERANCE = 0.01
_CLAIM_TOLERANCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """What a source was found to be while it was decoded."""

    codec: str
    #: Samples a second of the source.
    sample_rate: int
    channels: int
    #: Length of what really decoded.
    seconds: float
    #: Root mean square over the whole recording in dBFS; None for digital silence.
    loudness: float | None
    #: SHA-256 of the original file, hexadecimal.
    source_sha256: str
    source_bytes: int
    flac_bytes: int
    #: What was wrong with the source although it could be used, one sentence each.
    warnings: tuple[str, ...] = ()


def normalise(source: Path, target: Path, *, max_seconds: float) -> AudioFacts:
    """Decode anything PyAV reads to 16 kHz mono 16-bit FLAC at `target`, in bounded memory.

    The target appears whole or not at all. Of a damaged source what decodes is kept, and a warning says so.
    Raises `SourceNotFound`, or `UnusableAudio` if the source is empty, not media, without audio, without anything
    that decodes, or longer than `max_seconds`.
    """
    with open_source(source) as reader, _written_atomically(target) as partial:
        with open_container(reader) as container:
            track = AudioTrack(container)
            claimed = track.claimed_seconds
            meter = _Meter(max_seconds)
            _write_flac(partial, meter.watch(_in_blocks(track.samples(), SAMPLE_RATE)))
        if meter.samples == 0:
            raise UnusableAudio(f"no audio could be decoded from the source's {track.codec} stream")
        sha256, size = reader.finish()
        return AudioFacts(
            codec=track.codec,
            sample_rate=track.sample_rate,
            channels=track.channels,
            seconds=meter.seconds,
            loudness=meter.loudness,
            source_sha256=sha256,
            source_bytes=size,
            flac_bytes=partial.stat().st_size,
            warnings=tuple(_warnings(track, claimed, meter.seconds, missing_bytes(reader.head, size))),
        )


def read_blocks(path: Path, block_seconds: float) -> Iterator[np.ndarray]:
    """Yield a recording as float32 arrays of shape (samples,) in [-1, 1], 16 kHz mono, `block_seconds` each.

    The last block holds the rest. Raises what `normalise` raises.
    """
    size = max(1, round(block_seconds * SAMPLE_RATE))
    with open_source(path) as reader, open_container(reader) as container:
        for block in _in_blocks(AudioTrack(container).samples(), size):
            yield block.astype(np.float32) / 32768.0


def claimed_seconds(path: Path) -> float | None:
    """Length of a recording as its header claims it, without decoding; exact for what `normalise` wrote."""
    with open_source(path) as reader, open_container(reader) as container:
        return AudioTrack(container).claimed_seconds


class _Meter:
    """Measures the samples that pass, and stops a stream that is too long."""

    def __init__(self, max_seconds: float) -> None:
        self._max_seconds = max_seconds
        self._squares = 0.0
        self.samples = 0

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.samples += block.size
            if self.seconds > self._max_seconds:
                raise UnusableAudio(f"the recording is longer than the limit of {self._max_seconds / 3600:g} hours")
            self._squares += float(np.square(block, dtype=np.float64).sum())
            yield block

    @property
    def seconds(self) -> float:
        return self.samples / SAMPLE_RATE

    @property
    def loudness(self) -> float | None:
        if self._squares == 0:
            return None
        return 10 * math.log10(self._squares / self.samples / 32768.0**2)


def _in_blocks(parts: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Re-cut a stream of arrays into arrays of `size`, the last one shorter."""
    waiting: list[np.ndarray] = []
    held = 0
    for part in parts:
        waiting.append(part)
        held += part.size
        if held >= size:
            joined = np.concatenate(waiting)
            whole = held - held % size
            yield from joined[:whole].reshape(-1, size)
            waiting, held = [joined[whole:]], held - whole
    if held:
        yield np.concatenate(waiting)


def _write_flac(path: Path, blocks: Iterable[np.ndarray]) -> None:
    with av.open(str(path), mode="w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, options={"compression_level": "5"})
        stream.codec_context.layout = "mono"
        stream.codec_context.format = "s16"
        for block in blocks:
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@contextmanager
def _written_atomically(target: Path) -> Iterator[Path]:
    """Give a path beside `target` that replaces it when all went well, and vanishes when not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _warnings(track: AudioTrack, claimed: float | None, seconds: float, missing: int) -> Iterator[str]:
    """Say what was wrong with a source of `seconds` whose header `claimed` a length and which lacks bytes."""
    if track.cut_short is not None:
        yield f"the source breaks off after {seconds:.1f} s ({track.cut_short})"
    elif missing:
        yield f"the source is truncated: {missing} bytes are missing at its end"
    elif claimed is not None and claimed - seconds > max(_CLAIM_TOLERANCE_SECONDS, claimed * _CLAIM_TOLERANCE):
        yield f"the source claims {claimed:.1f} s, but only {seconds:.1f} s could be decoded"
    if track.damaged:
        yield f"damaged packets were skipped: {track.damaged}"
    if track.holes:
        yield f"silence stands for {sum(track.holes):.1f} s of sound that is missing (holes: {len(track.holes)})"
