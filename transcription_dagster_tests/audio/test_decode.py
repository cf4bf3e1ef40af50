"""Decoding of good and bad recordings to 16 kHz FLAC."""

from __future__ import annotations

import hashlib
import math
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from transcription_dagster.audio.decode import AudioFacts, normalise
from transcription_dagster.audio.flac import claimed_seconds, read_blocks
from transcription_dagster.errors import SourceNotFound, UnusableAudio
from transcription_dagster_tests import corpus

DAY = 86_400


def decode(source: Path, max_seconds: float = DAY) -> tuple[AudioFacts, np.ndarray]:
    target = source.parent / "out" / "audio.flac"
    facts = normalise(source, target, max_seconds=max_seconds)
    assert [file.name for file in target.parent.iterdir()] == ["audio.flac"]
    return facts, np.concatenate(list(read_blocks(target, 5)))


def pitch(samples: np.ndarray) -> float:
    """Return the strongest frequency in hertz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(spectrum)) * corpus.RATE / samples.size


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples.astype(np.float64)))))


@pytest.mark.parametrize("form", corpus.FORMATS)
def test_every_format_keeps_length_and_pitch(tmp_path, form):
    source = corpus.write_media(tmp_path / "source", corpus.tone(3, corpus.FORMATS[form][2]), form=form)
    facts, samples = decode(source)
    assert facts.sample_rate == corpus.FORMATS[form][2]
    assert facts.channels == 1
    assert facts.seconds == samples.size / corpus.RATE == pytest.approx(3, abs=0.1)
    assert pitch(samples) == pytest.approx(440, abs=1)
    assert facts.loudness == pytest.approx(20 * math.log10(0.3 / math.sqrt(2)), abs=0.5)
    assert facts.warnings == ()


@pytest.mark.parametrize("form", ["wav", "m4a", "ogg", "mkv"])
def test_the_whole_original_is_hashed_in_any_reading_order(tmp_path, form):
    source = corpus.write_media(tmp_path / "source", corpus.tone(3, corpus.FORMATS[form][2]), form=form)
    with source.open("ab") as file:
        file.write(b"behind the last frame" * 50_000)
    facts, _ = decode(source)
    assert facts.source_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert facts.source_bytes == source.stat().st_size
    assert facts.flac_bytes == (tmp_path / "out" / "audio.flac").stat().st_size


def test_the_result_is_16_bit_mono_flac_with_its_length(tmp_path):
    decode(corpus.write_wav(tmp_path / "a.wav", corpus.tone(2.5, 48_000), 48_000))
    with av.open(str(tmp_path / "out" / "audio.flac")) as container:
        stream = container.streams.audio[0]
        assert (container.format.name, stream.codec_context.name) == ("flac", "flac")
        assert (stream.codec_context.sample_rate, stream.codec_context.layout.name) == (16_000, "mono")
        assert stream.codec_context.format.name == "s16"
    assert claimed_seconds(tmp_path / "out" / "audio.flac") == pytest.approx(2.5)


def test_normalising_normalised_audio_changes_no_sample(tmp_path):
    sound = corpus.noise(2)
    _, samples = decode(corpus.write_wav(tmp_path / "a.wav", sound))
    assert np.array_equal(np.round(samples * 32768), (np.clip(sound, -1, 1) * 32767).astype(np.int16))


@pytest.mark.parametrize("rate", [8_000, 11_025, 96_000, 192_000])
def test_sample_rates_from_telephone_to_studio(tmp_path, rate):
    facts, samples = decode(corpus.write_wav(tmp_path / "a.wav", corpus.tone(2, rate), rate))
    assert facts.sample_rate == rate
    assert facts.seconds == pytest.approx(2, abs=0.01)
    assert pitch(samples) == pytest.approx(440, abs=1)


def test_audio_above_8_khz_does_not_alias(tmp_path):
    _, samples = decode(corpus.write_wav(tmp_path / "a.wav", corpus.tone(2, 48_000, hertz=11_000), 48_000))
    assert level(samples[1600:-1600]) < 0.3 * 10 ** (-40 / 20)


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("quad", 4), ("5.1", 6), ("7.1", 8)])
@pytest.mark.parametrize("speaking", ["first", "all"])
def test_channels_are_mixed_without_clipping_or_losing_one(tmp_path, layout, channels, speaking):
    sound = np.zeros((corpus.RATE * 2, channels), np.float32)
    sound[:, : 1 if speaking == "first" else channels] = corpus.tone(2, level=0.9)[:, None]
    source = corpus.write_media(tmp_path / "a", sound, form="mkv", layout=layout, rate=corpus.RATE)
    facts, samples = decode(source)
    assert facts.channels == channels
    assert pitch(samples) == pytest.approx(440, abs=1)
    assert 0.05 < np.abs(samples).max() <= 0.95


def test_audio_that_starts_after_the_video_keeps_its_offset(tmp_path):
    source = corpus.write_media(
        tmp_path / "late", corpus.tone(3, 48_000), form="mkv", picture_seconds=5, sound_starts=2
    )
    facts, samples = decode(source)
    assert facts.seconds == pytest.approx(5, abs=0.1)
    assert level(samples[: 2 * corpus.RATE - 2000]) == 0
    assert level(samples[2 * corpus.RATE + 2000 :]) == pytest.approx(0.3 / math.sqrt(2), abs=0.01)


@pytest.mark.parametrize("gap", [3.0, 700.0])
def test_a_pause_of_the_recorder_is_kept(tmp_path, gap):
    source = corpus.write_stamped(tmp_path / "paused", [(0, corpus.tone(5)), (5 + gap, corpus.tone(5))])
    facts, samples = decode(source)
    assert facts.seconds == pytest.approx(10 + gap, abs=1 / 24)
    assert level(samples[round((5.1) * corpus.RATE) : round((4.9 + gap) * corpus.RATE)]) == 0
    assert level(samples[round((5 + gap + 1 / 24) * corpus.RATE) :]) == pytest.approx(0.3 / math.sqrt(2), abs=0.01)
    assert any("silence stands for" in warning for warning in facts.warnings)


def test_overlapping_timestamps_keep_the_recordings_clock(tmp_path):
    pieces = [(number * 0.061, corpus.tone(0.064)) for number in range(1_000)]
    facts, _ = decode(corpus.write_stamped(tmp_path / "overlapping", pieces))
    assert facts.seconds == pytest.approx(61, abs=1 / 24)
    assert any("time stamps overlap" in warning for warning in facts.warnings)


def test_channels_in_opposite_phase_do_not_cancel(tmp_path):
    sound = corpus.tone(3)
    source = corpus.write_wav(tmp_path / "a.wav", np.stack([sound, -sound], 1))
    facts, samples = decode(source)
    assert level(samples) == pytest.approx(0.3 / math.sqrt(2), abs=0.01)
    assert any("opposite phase for 3.0 s" in warning for warning in facts.warnings)


def test_different_channels_are_not_detected_as_opposite_phase(tmp_path):
    source = corpus.write_wav(tmp_path / "a.wav", np.stack([corpus.noise(3, seed=1), corpus.noise(3, seed=2)], 1))
    assert decode(source)[0].warnings == ()


def test_concatenated_files_with_changing_formats_are_decoded(tmp_path):
    first = corpus.write_media(tmp_path / "a", corpus.tone(2, 44_100), form="ts")
    second = corpus.write_media(
        tmp_path / "b", np.repeat(corpus.tone(2, 48_000)[:, None], 2, 1), form="ts", layout="stereo", rate=48_000
    )
    joined = tmp_path / "joined"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    facts, samples = decode(joined)
    assert facts.seconds == pytest.approx(4, abs=0.2)
    assert pitch(samples) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("form", corpus.FORMATS)
def test_the_content_decides_the_format_not_the_name(tmp_path, form):
    facts, _ = decode(corpus.wrong_extension(tmp_path, form))
    assert facts.seconds == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("name", corpus.AWKWARD_NAMES)
def test_unusual_file_names_are_accepted(tmp_path, name):
    facts, _ = decode(corpus.awkward_name(tmp_path, name))
    assert facts.seconds == 1


def test_a_recording_of_one_sample_is_accepted(tmp_path):
    facts, samples = decode(corpus.one_sample(tmp_path))
    assert samples.size == 1
    assert facts.seconds == 1 / corpus.RATE


def test_digital_silence_has_no_loudness(tmp_path):
    facts, samples = decode(corpus.silent(tmp_path, 3))
    assert facts.loudness is None
    assert facts.seconds == 3
    assert not samples.any()


# --- damage


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.77, 0.95, 0.999])
@pytest.mark.parametrize("form", corpus.FORMATS)
def test_the_received_part_of_a_truncated_recording_is_kept(tmp_path, form, share):
    source = corpus.truncated(tmp_path, form, share)
    try:
        facts, samples = decode(source)
    except UnusableAudio:
        # MP4 has its index at the end, and the first hundredth may contain no complete frame.
        assert form in ("m4a", "mp4") or share <= 0.1
        assert not (tmp_path / "out" / "audio.flac").exists()
    else:
        # Coded frames and containers' clusters break off at their own sizes.
        assert 10 * share - 1 <= facts.seconds <= 10 * share + 0.6
        assert facts.seconds < 5 or pitch(samples) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("form", ["wav", "aiff", "flac", "mkv", "mp3"])
def test_a_recording_shorter_than_its_header_is_reported(tmp_path, form):
    facts, _ = decode(corpus.truncated(tmp_path, form, 0.5))
    assert any("truncated" in warning or "claims 10.0 s" in warning for warning in facts.warnings)


def test_a_streamed_wav_is_not_reported_as_truncated(tmp_path):
    facts, samples = decode(corpus.claims_hours(tmp_path, hours=100))
    assert facts.seconds == pytest.approx(5, abs=0.01)
    assert pitch(samples) == pytest.approx(440, abs=1)
    assert facts.warnings == ()


def wav(
    path: Path, content: bytes, *, claims: int | None = None, tail: bytes = b"", code: int = 1, bits: int = 16
) -> Path:
    """A WAV at 16 kHz whose header says that its sound has `claims` bytes, with `tail` behind the sound."""
    layout = struct.pack("<HHIIHH", code, 1, 16_000, 2_000 * bits, bits // 8, bits)
    size = len(content) if claims is None else claims
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", size) + content + tail
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


TONE = (8000 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 16_000)).astype("<i2").tobytes()


@pytest.mark.parametrize("claims", [100, 32_000])
def test_a_wav_with_more_sound_than_its_header_says_is_read_to_its_end(tmp_path, claims):
    facts, samples = decode(wav(tmp_path / "crashed.wav", TONE, claims=claims))
    assert facts.seconds == pytest.approx(3, abs=0.01)
    assert pitch(samples) == pytest.approx(440, abs=1)
    assert "more sound than its header says" in facts.warnings[0]


@pytest.mark.parametrize(
    "tail",
    [b"LIST\x04\0\0\0INFO", b"id3 \x05\0\0\0xxxxx\0", bytes(50_000), b"TAG" + bytes(range(125)), b"abc"],
    ids=["list", "id3", "padding", "id3v1", "rest"],
)
def test_chunks_after_a_wavs_audio_are_not_decoded(tmp_path, tail):
    facts, _ = decode(wav(tmp_path / "tagged.wav", TONE, tail=tail))
    assert facts.seconds == pytest.approx(3, abs=0.001)
    assert facts.warnings == ()


@pytest.mark.parametrize(("kind", "bits"), [("<f4", 32), ("<f8", 64)])
def test_nan_samples_become_silence(tmp_path, kind, bits):
    samples = np.frombuffer(TONE, "<i2") / 32768
    samples[16_000:20_000] = np.nan
    samples[30_000], samples[30_001] = np.inf, -np.inf
    _, decoded = decode(wav(tmp_path / "nan.wav", samples.astype(kind).tobytes(), code=3, bits=bits))
    assert not decoded[16_000:20_000].any()
    assert np.abs(decoded.astype(np.int32)).max() < 8100


def test_an_exaggerated_header_is_ignored(tmp_path):
    facts, _ = decode(corpus.claims_hours(tmp_path, hours=10))
    assert facts.seconds == pytest.approx(5, abs=0.01)
    assert "truncated" in facts.warnings[0]


@pytest.mark.parametrize("form", corpus.FORMATS)
def test_damage_does_not_shift_later_audio(tmp_path, form):
    facts, samples = decode(corpus.damaged(tmp_path, form))
    assert facts.seconds == pytest.approx(10, abs=1.2 if form in ("mp3", "flac") else 0.2)
    assert pitch(samples[: 4 * corpus.RATE]) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("form", ["mp3", "flac", "mkv", "ogg", "webm", "m4a", "ts"])
def test_damage_is_reported(tmp_path, form):
    facts, _ = decode(corpus.damaged(tmp_path, form))
    assert any("damaged packets" in warning or "silence stands for" in warning for warning in facts.warnings)


@pytest.mark.parametrize("form", ["mp3", "wav", "flac", "ogg", "mp4", "mkv"])
@pytest.mark.parametrize("kind", ["random", "zeros", "http"])
def test_garbage_before_the_recording_is_skipped(tmp_path, form, kind):
    garbage = {
        "random": np.random.default_rng(3).bytes(100_000),
        "zeros": bytes(300_000),
        "http": b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n",
    }[kind]
    source = corpus.write_media(tmp_path / "source", corpus.tone(3, corpus.FORMATS[form][2]), form=form)
    source.write_bytes(garbage + source.read_bytes())
    facts, samples = decode(source)
    assert facts.seconds == pytest.approx(3, abs=0.15)
    assert pitch(samples) == pytest.approx(440, abs=1)
    assert facts.source_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


@pytest.mark.parametrize(("extension", "codec", "rate"), [("g722", "g722", 16_000), ("tco", "g723_1", 8_000)])
def test_a_headerless_format_is_detected_by_its_name(tmp_path, extension, codec, rate):
    source = corpus.write_headerless(tmp_path / "source", corpus.tone(3, rate), codec, rate)
    facts = normalise(source, tmp_path / "out.flac", max_seconds=60, name=f"https://host/call.{extension}")
    assert facts.seconds == pytest.approx(3, abs=0.1)
    assert facts.codec == codec


@pytest.mark.parametrize("codec", ["qcelp", "evrc"])
def test_dictation_formats_are_accepted(tmp_path, codec):
    facts, _ = decode(corpus.qcp(tmp_path, codec, seconds=3))
    assert (facts.codec, facts.seconds) == (codec, pytest.approx(3, abs=0.05))


# --- refused


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "empty"),
        ("text", "not audio or video"),
        ("web page", "not audio or video"),
        ("playlist", "not audio or video"),
        ("concat script", "not audio or video|not accepted"),
        ("random bytes", "no audio could be decoded|not audio or video|not accepted"),
        ("video without audio", "no audio stream, only video"),
        ("header only", "no audio could be decoded"),
        ("still picture", "not accepted|not audio or video"),
        ("gigahertz", "2000000000 samples per second|not audio or video|no audio"),
    ],
)
def test_a_source_without_audio_is_refused_with_the_reason(tmp_path, kind, reason):
    source = corpus.UNUSABLE[kind](tmp_path)
    with pytest.raises(UnusableAudio, match=reason):
        normalise(source, tmp_path / "out" / "audio.flac", max_seconds=DAY)
    assert list(tmp_path.glob("out/*")) == []


@pytest.mark.parametrize("form", corpus.FORMATS)
def test_random_bytes_after_a_valid_header_are_refused_or_limited(tmp_path, form):
    source = corpus.random_behind_header(tmp_path, form)
    try:
        facts, _ = decode(source, max_seconds=600)
    except UnusableAudio:
        assert list(tmp_path.glob("out/*")) == []
    else:
        assert facts.seconds <= 600


def test_a_decompression_bomb_is_stopped_at_the_limit(tmp_path):
    source = corpus.bomb(tmp_path, hours=5)
    assert source.stat().st_size < 1_000_000
    with pytest.raises(UnusableAudio, match=r"longer than the limit of 0\.5 hours"):
        normalise(source, tmp_path / "out" / "audio.flac", max_seconds=1800)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_recording_of_exactly_the_limit_is_accepted(tmp_path):
    facts, _ = decode(corpus.write_wav(tmp_path / "a.wav", corpus.tone(2)), max_seconds=2)
    assert facts.seconds == 2


def test_a_missing_source_is_reported(tmp_path):
    with pytest.raises(SourceNotFound, match="nowhere"):
        normalise(tmp_path / "nowhere", tmp_path / "out" / "audio.flac", max_seconds=DAY)


def test_a_folder_is_not_a_source(tmp_path):
    with pytest.raises(UnusableAudio, match="not a file"):
        normalise(tmp_path, tmp_path / "out" / "audio.flac", max_seconds=DAY)


def test_a_failure_keeps_the_previous_result(tmp_path):
    decode(corpus.write_wav(tmp_path / "a.wav", corpus.tone(1)))
    before = (tmp_path / "out" / "audio.flac").read_bytes()
    with pytest.raises(UnusableAudio):
        normalise(corpus.header_only(tmp_path), tmp_path / "out" / "audio.flac", max_seconds=DAY)
    assert (tmp_path / "out" / "audio.flac").read_bytes() == before


# --- blocks


@pytest.mark.parametrize("block_seconds", [0.00001, 0.5, 1.7, 4, 100])
def test_blocks_have_one_size_and_join_to_the_whole(tmp_path, block_seconds):
    sound = corpus.noise(0.01 if block_seconds < 0.1 else 4)
    source = corpus.write_wav(tmp_path / "a.wav", sound)
    blocks = list(read_blocks(source, block_seconds))
    size = max(1, round(block_seconds * corpus.RATE))
    assert all(block.size == size for block in blocks[:-1])
    assert 0 < blocks[-1].size <= size
    assert all(block.dtype == np.float32 for block in blocks)
    assert np.abs(np.concatenate(blocks) - sound).max() < 1e-4
