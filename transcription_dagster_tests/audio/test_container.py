"""Selection of the audio track."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from transcription_dagster.audio.container import open_container
from transcription_dagster.audio.decode import AudioFacts, normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.audio.formats import Opening
from transcription_dagster.errors import UnusableAudio
from transcription_dagster_tests import corpus
from transcription_dagster_tests.audio.test_decode import pitch

FRENCH, ENGLISH = 300.0, 600.0


def write_tracks(
    path: Path, *tracks: tuple[float, dict[str, str]], layout: str = "stereo", codec: str = "flac"
) -> Path:
    """Write a Matroska file with a tone of the given frequency and metadata on each track."""
    with av.open(str(path), "w", format="matroska") as container:
        streams = []
        for _, metadata in tracks:
            stream = container.add_stream("flac", rate=corpus.RATE)
            stream.codec_context.layout = layout
            stream.metadata.update(metadata)
            streams.append(stream)
        for stream, (hertz, _) in zip(streams, tracks, strict=True):
            channels = 2 if layout == "stereo" else 1
            sound = np.repeat(corpus.tone(2, hertz=hertz)[:, None], channels, 1)
            data = np.ascontiguousarray((sound * 32767).astype(np.int16)).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(data, format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = corpus.RATE, 0, Fraction(1, corpus.RATE)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def without_decoder(path: Path, number: int, codec: bytes = b"A_FLAC") -> Path:
    """Rename the codec of this track to one that no program supports."""
    data = path.read_bytes()
    place = -1
    for _ in range(number):
        place = data.index(codec, place + 1)
    path.write_bytes(data[:place] + b"A_XLAC"[: len(codec)] + data[place + len(codec) :])
    return path


def decode(source: Path, language: str | None = None) -> tuple[AudioFacts, np.ndarray]:
    facts = normalise(source, source.parent / "out.flac", max_seconds=60, language=language)
    return facts, np.concatenate(list(read_blocks(source.parent / "out.flac", 60)))


@pytest.mark.parametrize(
    ("language", "hertz"),
    [("en", ENGLISH), ("eng", ENGLISH), ("en-GB", ENGLISH), ("fr", FRENCH), ("de", FRENCH), (None, FRENCH)],
)
def test_the_track_in_the_recordings_language_is_used(tmp_path, language, hertz):
    source = write_tracks(tmp_path / "a", (FRENCH, {"language": "fre"}), (ENGLISH, {"language": "eng"}))
    facts, samples = decode(source, language)
    assert pitch(samples) == pytest.approx(hertz, abs=1)
    assert facts.track.startswith("of 2 audio tracks")
    assert ("in the recording's language" in facts.track) == (language is not None and language != "de")


@pytest.mark.parametrize("broken", [1, 2])
def test_a_track_without_a_decoder_is_skipped(tmp_path, broken):
    source = write_tracks(tmp_path / "a", (FRENCH, {}), (ENGLISH, {}))
    facts, samples = decode(without_decoder(source, broken))
    assert pitch(samples) == pytest.approx(ENGLISH if broken == 1 else FRENCH, abs=1)
    assert "no decoder" in facts.track


def test_an_undecodable_track_in_the_right_language_is_replaced_by_another(tmp_path):
    source = write_tracks(tmp_path / "a", (FRENCH, {"language": "fre"}), (ENGLISH, {"language": "eng"}))
    _, samples = decode(without_decoder(source, 2), "en")
    assert pitch(samples) == pytest.approx(FRENCH, abs=1)


def test_a_track_with_invalid_packets_is_skipped_and_reported(tmp_path):
    source = write_tracks(tmp_path / "a", (FRENCH, {"language": "fre"}), (ENGLISH, {"language": "eng"}))
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        packets = [packet for packet in container.demux() if packet.stream.index == 0 and packet.size > 8]
    for packet in packets:
        place = data.find(bytes(packet)[:32])
        data[place : place + packet.size] = bytes(packet.size)
    source.write_bytes(data)
    facts, samples = decode(source, "fr")
    assert pitch(samples) == pytest.approx(ENGLISH, abs=1)
    assert any("passed over" in warning for warning in facts.warnings)


def test_a_source_with_no_track_that_has_a_decoder_is_unusable(tmp_path):
    source = without_decoder(write_tracks(tmp_path / "a", (FRENCH, {})), 1)
    with pytest.raises(UnusableAudio, match="codec that cannot be decoded"):
        decode(source)


def test_mono_tracks_of_one_kind_are_the_channels_of_one_recording(tmp_path):
    source = write_tracks(tmp_path / "a", (FRENCH, {}), (ENGLISH, {}), layout="mono")
    facts, samples = decode(source)
    spectrum = np.abs(np.fft.rfft(samples[: corpus.RATE]))
    assert spectrum[300] == pytest.approx(spectrum[600], rel=0.05)
    assert facts.channels == 2
    assert "mixed" in facts.track


def test_a_single_track_needs_no_note(tmp_path):
    assert decode(write_tracks(tmp_path / "a", (FRENCH, {"language": "fre"})), "en")[0].track == ""


def test_a_source_with_very_many_tracks_is_refused_before_each_gets_a_demuxer(tmp_path):
    source = write_tracks(tmp_path / "a", *[(ENGLISH, {})] * 129, layout="mono")
    with pytest.raises(UnusableAudio, match="129 audio tracks, more than the limit of 128"):
        decode(source)


def write_cover(path: Path, side: int) -> Path:
    """Write an MP3 with a black square as its cover art."""
    rows = zlib.compressobj()
    packed = b"".join(rows.compress(bytes(1 + 3 * side)) for _ in range(side)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")]
    framed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    body = b"\0image/png\0\3\0" + b"\x89PNG\r\n\x1a\n" + b"".join(framed)
    frame = b"APIC" + struct.pack(">IH", len(body), 0) + body
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    sound = corpus.write_media(path.with_suffix(".mp3"), corpus.tone(2, rate=44_100), form="mp3").read_bytes()
    path.write_bytes(b"ID3\3\0\0" + size + frame + sound)
    return path


@pytest.mark.parametrize(("side", "decoded_side"), [(600, 600), (8_300, 0)])
def test_huge_cover_art_is_not_decoded_and_the_sound_is(tmp_path, side, decoded_side):
    source = write_cover(tmp_path / "a", side)
    with source.open("rb") as file, open_container(file, Opening()) as container:
        assert container.streams.video[0].codec_context.width == decoded_side
    assert decode(source)[0].seconds == pytest.approx(2, abs=0.1)
