"""Damaged and unusual recordings: each function writes one into a folder and returns its path."""

from __future__ import annotations

import random
import struct
import wave
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer

RATE = 16_000

#: Container, codec and sample rate of common recordings, by extension.
FORMATS = {
    "wav": ("wav", "pcm_s16le", 44_100),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "flac": ("flac", "flac", 44_100),
    "m4a": ("ipod", "aac", 44_100),
    "ogg": ("ogg", "libopus", 48_000),
    "webm": ("webm", "libopus", 48_000),
    "mp4": ("mp4", "aac", 48_000),
    "mkv": ("matroska", "flac", 48_000),
    "aiff": ("aiff", "pcm_s16be", 44_100),
    "ts": ("mpegts", "mp2", 44_100),
}


def tone(seconds: float, rate: int = RATE, hertz: float = 440.0, level: float = 0.3) -> np.ndarray:
    """Return a sine as float32 of shape (samples,)."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float, rate: int = RATE, level: float = 0.1, seed: int = 1) -> np.ndarray:
    """Return white noise as float32 of shape (samples,)."""
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


def melody(seconds: float, rate: int = RATE, level: float = 0.3, seed: int = 0) -> np.ndarray:
    """Return plucked notes with overtones as float32 of shape (samples,), which a speech model hears as music."""
    random_numbers = np.random.default_rng(seed)
    notes: list[np.ndarray] = []
    while sum(note.size for note in notes) < seconds * rate:
        length = random_numbers.choice([0.25, 0.5])
        hertz = 440 * 2 ** (random_numbers.integers(-12, 12) / 12)
        t = np.arange(round(length * rate)) / rate
        attack = np.minimum(1, t / 0.02) * np.exp(-3 * t)
        notes.append(attack * sum(np.sin(2 * np.pi * hertz * n * t) / n for n in (1, 2, 3, 4)))
    sound = np.concatenate(notes)[: round(seconds * rate)]
    return (level * sound / np.abs(sound).max()).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """Write float samples of shape (samples,) or (samples, channels) as 16-bit WAV."""
    data = (np.clip(samples, -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if data.ndim == 1 else data.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(data.tobytes())
    return path


def write_media(
    path: Path,
    samples: np.ndarray,
    *,
    form: str,
    layout: str = "mono",
    rate: int | None = None,
    picture_seconds: float = 0,
    sound_starts: float = 0,
) -> Path:
    """Write float samples of shape (samples,) or (samples, channels) in one of `FORMATS`, whatever the name of `path`.

    `sound_starts` delays the audio by this many seconds after the start of the video.
    """
    container_format, codec, codec_rate = FORMATS[form]
    rate = rate or codec_rate
    data = samples[:, None] if samples.ndim == 1 else samples
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = layout
        picture = _picture_stream(container) if picture_seconds else None
        if picture is not None:
            for packet in _pictures(picture, picture_seconds):
                container.mux(packet)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        for start in range(0, len(data), rate):
            part = np.ascontiguousarray(data[start : start + rate], dtype=np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(part, format="flt", layout=layout)
            frame.sample_rate = rate
            frame.pts = start + round(sound_starts * rate)
            frame.time_base = Fraction(1, rate)
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def write_stamped(path: Path, pieces: list[tuple[float, np.ndarray]]) -> Path:
    """Write pieces of audio at `RATE`, float32 of shape (samples,), at their start in seconds, into Matroska."""
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE)
        stream.codec_context.layout = "mono"
        for start, samples in pieces:
            for offset in range(0, len(samples), 1024):
                data = (samples[offset : offset + 1024] * 32767).astype(np.int16).reshape(1, -1)
                packet = av.Packet(data.tobytes())
                packet.stream = stream
                packet.time_base = Fraction(1, RATE)
                packet.pts = packet.dts = round(start * RATE) + offset
                packet.duration = data.size
                container.mux(packet)
    return path


def write_headerless(path: Path, samples: np.ndarray, codec: str, rate: int) -> Path:
    """Write float samples of shape (samples,) as the bare packets of a telephone codec."""
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = rate, "mono", "s16"
    if codec == "g723_1":
        context.bit_rate = 6300
    packets: list[bytes] = []
    for start in range(0, len(samples) - 239, 240):
        data = (samples[start : start + 240] * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(data, format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, start
        packets += [bytes(packet) for packet in context.encode(frame)]
    packets += [bytes(packet) for packet in context.encode(None)]
    path.write_bytes(b"".join(packets))
    return path


#: The kinds of QCP files (RFC 3625) by codec: their GUID, and the code and size of a full-rate packet.
_QCP = {
    "qcelp": ("416d7f5e15b1d011ba9100805fb4b97e", 4, 34),
    "evrc": ("8dd489e67690b54691ef736a5100ceb4", 4, 22),
}


def qcp(folder: Path, codec: str, seconds: float) -> Path:
    """Return a QCP file, as mobile phones wrote them, with random full-rate packets of 20 ms."""
    guid, rate, size = _QCP[codec]
    count = round(seconds * 50)
    bits = random.Random(1)
    body = b"".join(bytes([rate]) + bits.randbytes(size) for _ in range(count))
    rates = struct.pack("<I", 1) + bytes([size, rate]) + bytes(14)
    form = b"\x01\x00" + bytes.fromhex(guid) + struct.pack("<H", 2) + bytes(80)
    form += struct.pack("<HHHHH", 13_000, size + 1, 160, 8_000, 16) + rates + bytes(20)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"vrat" + struct.pack("<III", 8, 1, count) + b"data" + struct.pack("<I", len(body)) + body
    source = folder / "memo"
    source.write_bytes(b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"QLCM" + chunks)
    return source


def _picture_stream(container: OutputContainer) -> av.VideoStream:
    stream = container.add_stream("mpeg4", rate=10)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    return stream


def _pictures(stream: av.VideoStream, seconds: float) -> Iterator[av.Packet[Any]]:
    for number in range(round(seconds * 10)):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number % 256, np.uint8), format="rgb24")
        frame.pts = number
        yield from stream.encode(frame)
    yield from stream.encode(None)


# --- nothing to hear


def empty(folder: Path) -> Path:
    path = folder / "empty.wav"
    path.touch()
    return path


def text_file(folder: Path) -> Path:
    path = folder / "text.mp3"
    path.write_text("This is not a recording.\n" * 1000)
    return path


def web_page(folder: Path) -> Path:
    path = folder / "page.mp4"
    path.write_text("<!doctype html><html><body>" + "<p>Sign in to continue.</p>" * 500 + "</body></html>")
    return path


def playlist(folder: Path) -> Path:
    """Write a playlist that names another file, which a program that follows it would read."""
    victim = write_wav(folder / "private.wav", tone(1))
    path = folder / "playlist.wav"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{victim.as_uri()}\n#EXT-X-ENDLIST\n")
    return path


def concat_script(folder: Path) -> Path:
    victim = write_wav(folder / "private.wav", tone(1))
    path = folder / "script.wav"
    path.write_text(f"ffconcat version 1.0\nfile '{victim}'\n")
    return path


def random_bytes(folder: Path) -> Path:
    path = folder / "random.mp3"
    path.write_bytes(random.Random(1).randbytes(200_000))
    return path


def random_behind_header(folder: Path, form: str) -> Path:
    """Write a valid header, followed by noise."""
    path = write_media(folder / f"random-behind.{form}", tone(5, FORMATS[form][2]), form=form)
    content = path.read_bytes()
    head = content[:64]
    path.write_bytes(head + random.Random(2).randbytes(len(content) - len(head)))
    return path


def video_without_audio(folder: Path) -> Path:
    path = folder / "silent-film.mp4"
    with av.open(str(path), "w") as container:
        stream = _picture_stream(container)
        for packet in _pictures(stream, 2):
            container.mux(packet)
    return path


def header_only(folder: Path) -> Path:
    path = write_wav(folder / "header-only.wav", tone(1))
    path.write_bytes(path.read_bytes()[:44])
    return path


def still_picture(folder: Path) -> Path:
    path = folder / "cover.mp3"
    with av.open(str(path), "w", format="image2pipe") as container:
        stream = container.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def gigahertz(folder: Path) -> Path:
    """Write a header with a sample rate for which no resampler should be created."""
    path = write_wav(folder / "gigahertz.wav", tone(1))
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 24, 2_000_000_000)
    path.write_bytes(content)
    return path


#: Sources without audible content.
UNUSABLE: dict[str, Callable[[Path], Path]] = {
    "empty": empty,
    "text": text_file,
    "web page": web_page,
    "playlist": playlist,
    "concat script": concat_script,
    "random bytes": random_bytes,
    "video without audio": video_without_audio,
    "header only": header_only,
    "still picture": still_picture,
    "gigahertz": gigahertz,
}


# --- something to hear


def truncated(folder: Path, form: str, share: float) -> Path:
    """Write the first `share` of the bytes of a tone of ten seconds."""
    path = write_media(folder / f"truncated-{share}.{form}", tone(10, FORMATS[form][2]), form=form)
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * share)])
    return path


def damaged(folder: Path, form: str) -> Path:
    """Write a tone of ten seconds with a tenth of the bytes in the middle replaced."""
    path = write_media(folder / f"damaged.{form}", tone(10, FORMATS[form][2]), form=form)
    content = path.read_bytes()
    start, length = len(content) // 2, len(content) // 10
    path.write_bytes(content[:start] + random.Random(3).randbytes(length) + content[start + length :])
    return path


def wrong_extension(folder: Path, form: str) -> Path:
    return write_media(folder / f"{form}-inside.txt", tone(3, FORMATS[form][2]), form=form)


def one_sample(folder: Path) -> Path:
    return write_wav(folder / "one-sample.wav", np.array([0.5], np.float32))


def silent(folder: Path, seconds: float = 20) -> Path:
    return write_wav(folder / "silent.wav", np.zeros(round(seconds * RATE), np.float32))


def claims_hours(folder: Path, hours: float = 100) -> Path:
    """Write five seconds after a WAV header that claims hours."""
    path = write_wav(folder / "claims-hours.wav", tone(5, 8_000), 8_000)
    content = bytearray(path.read_bytes())
    claimed = min(2**32 - 100, round(hours * 3600 * 8_000 * 2))
    struct.pack_into("<I", content, 4, claimed + 36)
    struct.pack_into("<I", content, 40, claimed)
    path.write_bytes(content)
    return path


def bomb(folder: Path, hours: float) -> Path:
    """Write hours of silence in a few kilobytes: FLAC stores a silent block of 65,535 samples in about 15 bytes."""
    path = folder / "bomb.flac"
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=8_000, options={"frame_size": "65535"})
        stream.codec_context.layout = "mono"
        stream.codec_context.format = "s16"
        minute = np.zeros((1, 8_000 * 60), np.int16)
        for _ in range(round(hours * 60)):
            frame = av.AudioFrame.from_ndarray(minute, format="s16", layout="mono")
            frame.sample_rate = 8_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


AWKWARD_NAMES = (
    "with spaces.wav",
    'it\'s "quoted".wav',
    "two\nlines.wav",
    "..wav",
    "-rf.wav",
    "http:host.wav",
    "concat:a|b.wav",
    "%d.wav",
    "naïve 日本語 🎙.wav",
)


def awkward_name(folder: Path, name: str) -> Path:
    return write_wav(folder / name, tone(1))
