"""Open a recording from an untrusted source, and decode its audio tracks piece by piece."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import av
import av.error
import numpy as np
from av.container import InputContainer

from transcription_dagster.audio.formats import (
    BROKEN_MEDIA,
    HEAD,
    SEARCHED_BYTES,
    STAMPED_LENGTHS,
    Opening,
    has_audio_beyond_header,
    media_errors,
    reason,
)
from transcription_dagster.audio.mixing import Mixer
from transcription_dagster.audio.timeline import Clock, place
from transcription_dagster.errors import SourceNotFound, UnusableAudio

#: Plausible sample rates. Others mean a broken header; resampling from gigahertz would need gigabytes.
_PLAUSIBLE_RATES = range(1_000, 1_000_001)


class Readable(Protocol):
    """The file interface that FFmpeg reads from."""

    def read(self, size: int = -1, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...


class HashingReader:
    """A file that is hashed while it is read, to avoid reading a large source twice.

    It deliberately has no name: an extension would bias FFmpeg's guess of the format.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._hashed = 0
        #: The first bytes of the file.
        self.head = file.read(HEAD)
        file.seek(0)

    def beginning(self) -> bytes:
        """Return the part of the file that is searched for the start of a recording."""
        self._file.seek(0)
        return self._file.read(SEARCHED_BYTES)

    def has_audio_beyond_header(self) -> bool:
        """Return whether the file is WAV with more sound than its header says."""
        return has_audio_beyond_header(self._file, os.fstat(self._file.fileno()).st_size)

    @contextmanager
    def reopened(self) -> Iterator[BinaryIO]:
        """Open the file a second time, to read it in parallel."""
        with open(self._file.name, "rb") as file:
            yield file

    def read(self, size: int = -1) -> bytes:
        position = self._file.tell()
        data = self._file.read(size)
        if position <= self._hashed < position + len(data):
            self._sha256.update(memoryview(data)[self._hashed - position :])
            self._hashed = position + len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def finish(self) -> tuple[str, int]:
        """Hash the parts that the decoder skipped; return the SHA-256 of the whole file and its size in bytes."""
        self._file.seek(self._hashed)
        while data := self._file.read(1 << 20):
            self._sha256.update(data)
            self._hashed += len(data)
        return self._sha256.hexdigest(), self._hashed


class _OffsetReader:
    """A file without the bytes before an offset."""

    def __init__(self, file: Readable, offset: int) -> None:
        self._file = file
        self._offset = offset
        file.seek(offset)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset + self._offset if whence == 0 else offset, whence) - self._offset

    def tell(self) -> int:
        return self._file.tell() - self._offset


@contextmanager
def open_source(path: Path) -> Iterator[HashingReader]:
    """Open a source for reading. Raises `SourceNotFound`, or `UnusableAudio` for a folder or an empty file."""
    if not path.exists():
        raise SourceNotFound(f"{path} does not exist")
    if not path.is_file():
        raise UnusableAudio(f"{path} is not a file")
    if path.stat().st_size == 0:
        raise UnusableAudio(f"{path} is empty (0 bytes)")
    with path.open("rb") as file:
        yield HashingReader(file)


@contextmanager
def open_container(reader: Readable, opening: Opening) -> Iterator[InputContainer]:
    """Open a source as media. Raises `UnusableAudio` if it is not media."""
    reader.seek(0)
    try:
        with media_errors("is not audio or video that can be read"):
            container = av.open(
                # PyAV's type demands two more attributes, but FFmpeg only uses read and seek.
                _OffsetReader(reader, opening.offset) if opening.offset else reader,
                mode="r",
                format=opening.format,
                options=opening.demuxer_options,
                buffer_size=1 << 18,
                metadata_errors="replace",
            )
    except UnusableAudio as error:
        if isinstance(error.__cause__, av.error.ArgumentError):
            raise UnusableAudio("the source is of a format that holds no recording, or is not accepted") from error
        raise
    with container:
        yield container


@dataclass(frozen=True, slots=True)
class _Frame:
    """A decoded frame and its position."""

    frame: av.AudioFrame
    stamp: float | None
    seconds: float


class AudioTrack:
    """Decodes an audio stream of a container at `SAMPLE_RATE`: mixed, and by channel if the channels are kept."""

    def __init__(self, container: InputContainer, index: int, *, keep_channels: bool = False) -> None:
        stream = next(stream for stream in container.streams.audio if stream.index == index)
        self._container = container
        self._stream = stream
        with media_errors("has a broken header"):
            context = stream.codec_context
            self.codec: str = context.name
            self.sample_rate: int = context.sample_rate
            self.channels: int = context.channels
        self._mixer = Mixer(self.channels if keep_channels and self.channels > 1 else 0)
        #: Numbers of decoded frames and of packets that the decoder rejected.
        self.decoded = 0
        self.damaged = 0
        #: Length in seconds of each silence inserted for lost sound.
        self.holes: list[float] = []
        #: Seconds of sound cut because later time stamps overlap them.
        self.overlapping_seconds = 0.0
        #: Why reading stopped before the end of the file, if it did.
        self.cut_short: str | None = None

    @property
    def opposite_phase_seconds(self) -> float:
        """Return the seconds in which two channels would have cancelled each other."""
        return self._mixer.opposite_phase_seconds

    @property
    def claimed_seconds(self) -> float | None:
        """Return the length in seconds that the header claims."""
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        return self._container_seconds

    def samples(self) -> Iterator[np.ndarray]:
        """Yield decoded int16 arrays of shape (rows, samples), with silence in place of missing sound.

        Row 0 is the mix. One row per channel follows if the stream has several and they are kept.
        """
        mixer = self._mixer
        begun = False
        for correction, piece in place(self._frames(), self._clock()):
            if correction > 0:
                if begun:
                    self.holes.append(correction)
                yield from mixer.silence(correction)
            elif correction < 0:
                self.overlapping_seconds -= correction
                mixer.cut(-correction)
            begun = True
            yield from mixer.mix(piece.frame)
        yield from mixer.flush()

    @property
    def _container_seconds(self) -> float | None:
        return None if self._container.duration is None else self._container.duration / av.time_base

    def _clock(self) -> Clock:
        start = self._container.start_time
        guessed = not STAMPED_LENGTHS.isdisjoint(self._container.format.name.split(","))
        return Clock(
            origin=None if start is None else start / av.time_base,
            claimed_seconds=None if guessed else self._container_seconds,
        )

    def _frames(self) -> Iterator[_Frame]:
        for frame in self._decoded():
            rate = frame.sample_rate
            if rate not in _PLAUSIBLE_RATES:
                raise UnusableAudio(f"the source claims {rate} samples per second, which no recording has")
            self.decoded += 1
            yield _Frame(frame, frame.time, frame.samples / rate)

    def _decoded(self) -> Iterator[av.AudioFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except BROKEN_MEDIA as error:
                self.cut_short = reason(error)
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except BROKEN_MEDIA:
                self.damaged += 1
            else:
                yield from frames
