"""The accepted media formats, where in a file a recording begins, and the errors of broken media."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

import av.error

from transcription_dagster.errors import UnusableAudio

#: Allowed demuxers. FFmpeg's others include playlists and image sequences, which make it open other files and URLs,
#: and text, which it would render.
_ACCEPTED = (
    "aac ac3 act aiff amr ape asf au avi bit caf dsf dss dts dtshd eac3 flac flv gsm iff ilbc kux live_flv "
    "loas matroska webm mp3 mov mp4 m4a 3gp 3g2 mj2 mpc mpc8 mpeg mpegts mxf nistsphere nut ogg oma qcp rm sln sox tak "
    "truehd tta voc vqf w64 wav wsaud wv xwma"
)

#: Formats without a header, recognised by file name if the content matches no other format.
_HEADERLESS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    ".722": ("g722", {}),
    ".al": ("alaw", {"sample_rate": "8000"}),
    ".alaw": ("alaw", {"sample_rate": "8000"}),
    ".g722": ("g722", {}),
    ".g723": ("g723_1", {}),
    ".g723_1": ("g723_1", {}),
    ".g729": ("g729", {}),
    ".gsm": ("gsm", {}),
    ".rco": ("g723_1", {}),
    ".sln": ("sln", {}),
    ".sln16": ("sln", {"sample_rate": "16000"}),
    ".tco": ("g723_1", {}),
    ".ul": ("mulaw", {"sample_rate": "8000"}),
    ".ulaw": ("mulaw", {"sample_rate": "8000"}),
}

#: Bytes of a file that are searched for the beginning of a recording.
SEARCHED_BYTES = 1 << 20

#: Demuxers whose length FFmpeg derives from the time stamps, so that it cannot confirm them.
STAMPED_LENGTHS = frozenset({"mpegts", "mpeg", "flv", "live_flv", "kux"})

_MAX_BEGINNINGS = 6

#: The first byte of each format's beginning, and what follows it; of `mov`, of its first box's type, which follows the
#: box's size. `sync` is a frame of MPEG audio.
_SIGNATURES: Sequence[tuple[bytes, bytes, bytes]] = (
    (b"wav", rb"R", rb"IFF....WAVE"),
    (b"flac", rb"f", rb"LaC\x00\x00\x00\x22"),
    (b"ogg", rb"O", rb"ggS\x00\x02"),
    (b"mp3", rb"I", rb"D3[\x02-\x04]\x00"),
    (b"matroska", rb"\x1a", rb"\x45\xdf\xa3"),
    (b"mov", rb"f", rb"typ"),
    (b"aiff", rb"F", rb"ORM....AIF[FC]"),
    (b"amr", rb"#", rb"!AMR"),
    (b"caf", rb"c", rb"aff\x00\x01"),
    (b"asf", rb"\x30", rb"\x26\xb2\x75\x8e\x66\xcf\x11"),
    (b"sync", rb"\xff", rb"[\xe2-\xff]"),
)
_BOX_SIZE_BYTES = 4


def _search(signatures: Sequence[tuple[bytes, bytes, bytes]]) -> re.Pattern[bytes]:
    """Return a pattern with a group for each format.

    It starts with the set of first bytes, so that `re` skips all other bytes twenty times faster.
    """
    first_bytes = b"".join(sorted({first for _, first, _ in signatures}))
    formats = b"|".join(b"(?P<%s>(?<=%s)%s)" % signature for signature in signatures)
    return re.compile(b"[%s](?:%s)" % (first_bytes, formats), re.DOTALL)


_ANY_SIGNATURE = _search(_SIGNATURES)

#: Consecutive frames that prove a stream; two syncs at the right distance occur in noise.
_FRAMES_OF_A_STREAM = 4

#: Bit rates in kbit/s by (MPEG-1?, layer), ISO/IEC 11172-3 and 13818-3.
_BIT_RATES = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = (44_100, 48_000, 32_000)

#: Bytes of the header of a WAV or AIFF file that state its size.
HEAD = 8
#: Sizes written by programs that stream and cannot know the real one.
_UNKNOWN_SIZE = 0x7FFF_0000

#: Bytes after the sound of a WAV file that are looked at for padding, and as many as tags without a chunk may have.
_PADDING = 1 << 16
_TAG = 1 << 12

#: Pixels of a picture that FFmpeg may decode while it opens a source: cover art of a few kilobytes can claim gigabytes.
#: The sound of a source with larger pictures is read all the same.
_MAX_PIXELS = 1 << 26


@dataclass(frozen=True, slots=True)
class Opening:
    """One way to open a file as media."""

    #: Bytes to skip.
    offset: int = 0
    #: FFmpeg's name of the demuxer; None to probe the content.
    format: str | None = None
    #: Options for the demuxer.
    options: Mapping[str, str] = field(default_factory=dict)
    #: Demuxers that must not be used.
    refused: frozenset[str] = frozenset()

    @property
    def demuxer_options(self) -> dict[str, str]:
        """Return FFmpeg's options, including the allowed formats and protocols."""
        accepted = [name for name in _ACCEPTED.split() if name not in self.refused]
        if self.format is not None:
            accepted.append(self.format)
        return {
            "format_whitelist": ",".join(accepted),
            "protocol_whitelist": "none",
            "max_pixels": str(_MAX_PIXELS),
            **self.options,
        }


def openings(name: str, beginning: bytes) -> Iterator[Opening]:
    """Yield ways to open a file, likeliest first.

    `name` is the file's original name, and `beginning` its first `SEARCHED_BYTES`: a download may start with a web
    server's headers or a broken recorder's garbage.
    """
    begin_later = list(_beginnings(beginning))
    frames_later = any(kind in _STREAMS for _, kind in begin_later) and _stream_at(beginning, 0) is None
    # FFmpeg would find spurious frames in the garbage and decode them to noise.
    yield Opening(refused=frozenset(_STREAMS) if frames_later and not beginning.startswith(b"ID3") else frozenset())
    headerless = _HEADERLESS.get(posixpath.splitext(name)[1].lower())
    if headerless:
        yield Opening(format=headerless[0], options=headerless[1])
    for offset, format_name in begin_later:
        yield Opening(offset, format_name)


def _beginnings(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield the offsets in `data` at which a recording may begin, with its format."""
    count = 0
    position = 1
    while count < _MAX_BEGINNINGS and (match := _ANY_SIGNATURE.search(data, position)):
        kind, offset = match.lastgroup, match.start()
        position = offset + 1
        if kind == "sync":
            kind = _stream_at(data, offset)
        if kind == "mov":
            offset -= _BOX_SIZE_BYTES
        if kind and offset > 0:
            count += 1
            yield offset, kind


def _stream_at(data: bytes, offset: int) -> str | None:
    """Return `mp3` or `aac` if consecutive frames of it start at `offset`."""
    for kind, length_of in _STREAMS.items():
        position = offset
        for _ in range(_FRAMES_OF_A_STREAM):
            size = length_of(data[position : position + 7])
            if size is None:
                break
            position += size
        else:
            return kind
    return None


def _mpeg_frame_bytes(header: bytes) -> int | None:
    """Return the length of the MPEG audio frame with this header (ISO/IEC 11172-3, 2.4.2.3); None if it is not one."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bit_rate, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or bit_rate in (0, 15) or rate == 3:
        return None
    bits = _BIT_RATES[version == 3, layer][bit_rate - 1] * 1000
    sample_rate = _SAMPLE_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    padding = header[2] >> 1 & 1
    if layer == 1:
        return (12 * bits // sample_rate + padding) * 4
    return (144 if layer == 2 or version == 3 else 72) * bits // sample_rate + padding


def _adts_frame_bytes(header: bytes) -> int | None:
    """Return the length of the ADTS frame with this header (ISO/IEC 13818-7, 6.2); None if it is not one."""
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return None
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return size if size > 7 else None


#: Formats that consist of frames only, with functions that return a frame's length from its header.
_STREAMS = {"mp3": _mpeg_frame_bytes, "aac": _adts_frame_bytes}


def missing_bytes(head: bytes, size: int) -> int:
    """Return how many bytes a file of `size` bytes lacks according to its header `head`; 0 if that gives no size."""
    if len(head) < HEAD or head[:4] not in (b"RIFF", b"FORM"):
        return 0
    claimed = int.from_bytes(head[4:HEAD], "little" if head[:4] == b"RIFF" else "big")
    return max(0, claimed + HEAD - size) if claimed < _UNKNOWN_SIZE else 0


def has_audio_beyond_header(file: BinaryIO, size: int) -> bool:
    """Return whether a WAV file of `size` bytes holds sound beyond what its header says.

    Such files come from recorders that crashed, and from sound of more than 4 GiB, whose size the header cannot hold.
    In an intact file, only other chunks or padding follow the sound.
    """
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return False
    position = 12
    while (chunk := _chunk(file, position, size)) and chunk[0] != b"data":
        position = chunk[1]
    if chunk is None or chunk[1] >= size or chunk[1] == position + 8:
        return False
    position = chunk[1]
    while position + 8 <= size:
        file.seek(position)
        following = _chunk(file, position, size)
        if following is None or not following[0].isascii() or not following[0].decode().isprintable():
            file.seek(position)
            return size - position > _TAG and any(file.read(_PADDING))
        position = following[1]
    return False


def _chunk(file: BinaryIO, position: int, size: int) -> tuple[bytes, int] | None:
    """Return the name of the chunk at a position, and where it ends; None if no chunk fits there."""
    file.seek(position)
    header = file.read(8)
    length = int.from_bytes(header[4:], "little")
    end = position + 8 + length + length % 2
    return (header[:4], end) if len(header) == 8 and end <= size + 1 else None


#: PyAV's errors for a broken file. If FFmpeg misses the damage, PyAV reads invalid or missing fields.
BROKEN_MEDIA = (av.error.FFmpegError, ValueError, OverflowError, ZeroDivisionError, AttributeError, TypeError)


@contextmanager
def media_errors(what: str) -> Iterator[None]:
    """Translate PyAV's errors into `UnusableAudio` with the message "the source `what`". Wrap only calls of PyAV."""
    try:
        yield
    except BROKEN_MEDIA as error:
        raise UnusableAudio(f"the source {what} ({reason(error)})") from error


def reason(error: Exception) -> str:
    """Return FFmpeg's own message."""
    return getattr(error, "strerror", None) or str(error)
