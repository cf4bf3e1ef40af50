"""Opening a recording that nobody vouches for, and decoding whatever audio is in it, a little at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import av
import av.error
import numpy as np
from av.container import InputContainer

from transcription_dagster.audio.riff import HEAD
from transcription_dagster.audio.timeline import Timeline
from transcription_dagster.errors import SourceNotFound, UnusableAudio

#: Samples a second of everything behind this door; Whisper and the voice detector both take it.
SAMPLE_RATE = 16_000

#: Rates outside are not audio but a broken header; a resampler for a rate of gigahertz would need gigabytes.
_PLAUSIBLE_RATES = range(1_000, 1_000_001)

#: Demuxers that may look at a source. FFmpeg also knows playlists and image sequences, which name other files and
#: URLs to open, and text, which it would render: none of them is on the list.
_FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,gsm,iff,kux,live_flv,loas,"
    "matroska,webm,mp3,mov,mp4,m4a,3gp,3g2,mj2,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nut,ogg,oma,rm,sln,sox,tak,"
    "truehd,tta,voc,w64,wav,wv,xwma"
)


class HashingReader:
    """A file that is hashed while it is read, so that a large source is not read twice.

    It has no name on purpose: FFmpeg would let an extension sway its guess of the format.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._hashed = 0
        #: The first bytes of the file.
        self.head = file.read(HEAD)
        file.seek(0)

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
        """Hash what the decoder never asked for; return the SHA-256 of the whole file and its size in bytes."""
        self._file.seek(self._hashed)
        while data := self._file.read(1 << 20):
            self._sha256.update(data)
            self._hashed += len(data)
        return self._sha256.hexdigest(), self._hashed


@contextmanager
def open_source(path: Path) -> Iterator[HashingReader]:
    """Open a source for reading; raises `SourceNotFound`, or `UnusableAudio` for a folder or an empty file."""
    if not path.exists():
        raise SourceNotFound(f"{path} does not exist")
    if not path.is_file():
        raise UnusableAudio(f"{path} is not a file")
    if path.stat().st_size == 0:
        raise UnusableAudio(f"{path} is empty (0 bytes)")
    with path.open("rb") as file:
        yield HashingReader(file)


@contextmanager
def open_container(reader: HashingReader) -> Iterator[InputContainer]:
    """Open a source as media by its content alone; raises `UnusableAudio` if it is none."""
    try:
        # FFmpeg asks for two attributes that are not in the protocol's type: read and seek are all it uses.
        container = av.open(
            reader,
            mode="r",
            options={"format_whitelist": _FORMATS, "protocol_whitelist": "none"},
            buffer_size=1 << 18,
            metadata_errors="replace",
        )
    except av.error.ArgumentError as error:
        raise UnusableAudio("the source is of a format that holds no recording, or is not accepted") from error
    except (av.error.FFmpegError, ValueError) as error:
        raise UnusableAudio(f"the source is not audio or video that can be read ({_reason(error)})") from error
    with container:
        yield container


class AudioTrack:
    """The audio stream of a container, decoded to mono samples at `SAMPLE_RATE`.

    Raises `UnusableAudio` when the container has no audio stream, or one that cannot be decoded.
    """

    def __init__(self, container: InputContainer) -> None:
        stream = container.streams.best("audio")
        if not isinstance(stream, av.AudioStream):
            kinds = sorted({other.type for other in container.streams}) or ["nothing"]
            raise UnusableAudio(f"the source has no audio stream, only {', '.join(kinds)}")
        self._container = container
        self._stream = stream
        context = stream.codec_context
        self.codec: str = context.name
        self.sample_rate: int = context.sample_rate
        self.channels: int = context.channels
        #: Packets that the decoder refused.
        self.damaged = 0
        #: Length of each silence that stands for sound that was lost on the way.
        self.holes: list[float] = []
        #: Why reading stopped before the end of the file, if it did.
        self.cut_short: str | None = None

    @property
    def claimed_seconds(self) -> float | None:
        """Length that the header claims."""
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        return None if self._container.duration is None else self._container.duration / av.time_base

    def samples(self) -> Iterator[np.ndarray]:
        """Yield what decodes as int16 arrays of shape (samples,), with silence where sound is missing."""
        start = self._container.start_time
        timeline = Timeline(None if start is None else start / av.time_base)
        mixer = _Mixer()
        for frame in self._frames():
            hole = timeline.hole_before(frame.time, mixer.seconds)
            if hole:
                if mixer.seconds:
                    self.holes.append(hole)
                yield from mixer.flush()
                yield mixer.silence(hole)
            yield from mixer.mix(frame)
        yield from mixer.flush()

    def _frames(self) -> Iterator[av.AudioFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                self.cut_short = _reason(error)
                return
            if packet is None:
                return
            try:
                # An audio stream's packets decode to nothing else.
                yield from cast("list[av.AudioFrame]", packet.decode())
            except av.error.FFmpegError:
                self.damaged += 1


class _Mixer:
    """Mixes frames to one channel at `SAMPLE_RATE`, whatever each of them is: joined files change on the way."""

    def __init__(self) -> None:
        #: Length of what went in.
        self.seconds = 0.0
        self._resampler: av.AudioResampler | None = None
        self._made_for: tuple[str, str, int] | None = None

    def mix(self, frame: av.AudioFrame) -> Iterator[np.ndarray]:
        if frame.sample_rate not in _PLAUSIBLE_RATES:
            raise UnusableAudio(f"the source claims {frame.sample_rate} samples a second, which no recording has")
        setup = (frame.format.name, frame.layout.name, frame.sample_rate)
        if setup != self._made_for:
            yield from self.flush()
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            self._made_for = setup
        self.seconds += frame.samples / frame.sample_rate
        # Where the frame belongs is settled; by a broken time stamp the resampler would stretch it.
        frame.pts = None
        yield from _resampled(self._resampler, frame)

    def silence(self, seconds: float) -> np.ndarray:
        self.seconds += seconds
        return np.zeros(round(seconds * SAMPLE_RATE), np.int16)

    def flush(self) -> Iterator[np.ndarray]:
        """Give out what the resampler still holds."""
        if self._resampler is not None:
            yield from _resampled(self._resampler, None)
        self._resampler = None


def _resampled(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> Iterator[np.ndarray]:
    try:
        parts = resampler.resample(frame)
    except (av.error.FFmpegError, ValueError) as error:
        raise UnusableAudio(f"the audio cannot be mixed to one channel ({_reason(error)})") from error
    for part in parts:
        yield part.to_ndarray().reshape(-1)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
