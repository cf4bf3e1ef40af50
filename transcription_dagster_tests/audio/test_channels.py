"""Whether the channels of a recording are kept apart or mixed, on synthetic audio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transcription_dagster.audio.channels import ChannelChoice, ChannelMeter, choose_channels
from transcription_dagster.audio.decode import AudioFacts, normalise
from transcription_dagster.audio.flac import channels_of, read_blocks
from transcription_dagster.model import ChannelMode
from transcription_dagster_tests import corpus

RATE = corpus.RATE
SECONDS = 24
SIZE = SECONDS * RATE


def voice(seed: int) -> np.ndarray:
    """Return speech-like syllables of filtered noise, float64 of shape (samples,)."""
    random = np.random.default_rng(seed)
    syllables = random.uniform(-50, 0, SIZE // 3_200 + 1).repeat(3_200)[:SIZE]
    sound = np.convolve(random.standard_normal(SIZE), random.standard_normal(60), mode="same")
    return 0.02 * sound * 10 ** (syllables / 20)


def turns(sound: np.ndarray, *, first: bool) -> np.ndarray:
    """Return the sound in every other stretch of four seconds."""
    return sound * ((np.arange(SIZE) // (4 * RATE) % 2 == 0) == first)


def echoing(sound: np.ndarray, seed: int) -> np.ndarray:
    """Return the sound as recorded by a microphone in a far corner of a room."""
    random = np.random.default_rng(seed)
    decay = np.exp(-6.9 * np.arange(RATE // 2) / (RATE // 2))
    return np.convolve(sound, random.standard_normal(decay.size) * decay * 0.05)[:SIZE]


def all_sound_is_voice(samples: np.ndarray) -> np.ndarray:
    """Detect everything audible as a voice."""
    return (np.square(samples.reshape(-1, 512)).mean(axis=1) > 1e-7).astype(np.float32)


def no_voice(samples: np.ndarray) -> np.ndarray:
    return np.zeros(samples.size // 512, np.float32)


def decide(*channels: np.ndarray, mode: ChannelMode = "auto", detector=all_sound_is_voice) -> ChannelChoice:
    samples = np.clip(np.stack(channels), -1, 1)
    meter = ChannelMeter(len(channels))
    for block in np.split((samples * 32767).astype(np.int16), SECONDS, axis=1):
        meter.add(block)

    def read(channel: int, seconds: float) -> Iterator[np.ndarray]:
        step = round(seconds * RATE)
        return (samples[channel, at : at + step].astype(np.float32) for at in range(0, SIZE, step))

    return choose_channels(meter.measurements(), mode, read=read, detect_voice=detector)


def test_two_alternating_voices_are_split():
    choice = decide(turns(voice(1), first=True), turns(voice(2), first=False))
    assert choice.separate == (0, 1)
    assert "each holds a voice of its own" in choice.reason


def test_two_simultaneous_voices_are_split():
    assert decide(voice(1), voice(2)).separate == (0, 1)


def test_voices_with_quiet_cross_talk_are_split():
    left, right = turns(voice(1), first=True), turns(voice(2), first=False)
    assert decide(left + 0.15 * right, right + 0.15 * left).separate == (0, 1)


@pytest.mark.parametrize("delay", [0, 1, 150])
@pytest.mark.parametrize("level", [1.0, 0.4, -1.0])
def test_one_voice_on_both_channels_is_mixed_whatever_its_delay_level_and_phase(delay, level):
    sound = voice(1)
    assert decide(sound, level * np.roll(sound, delay)).separate == ()


def test_one_voice_in_two_microphones_of_an_echoing_room_is_mixed():
    sound = voice(1)
    assert decide(echoing(sound, 5), echoing(sound, 6)).separate == ()


def test_two_voices_equally_loud_on_both_channels_are_mixed():
    sound = turns(voice(1), first=True) + turns(voice(2), first=False)
    assert decide(sound, 0.5 * sound).separate == ()


def test_a_channel_without_a_voice_causes_no_split():
    choice = decide(voice(1), voice(2), detector=no_voice)
    assert choice.separate == ()
    assert "at most one of them holds a voice" in choice.reason


@pytest.mark.parametrize("second", [np.zeros(SIZE), 0.1 * np.sin(np.arange(SIZE) * 2 * np.pi * 50 / RATE)])
def test_silence_is_not_examined_for_voices(second):
    assert decide(np.zeros(SIZE), second, detector=None).separate == ()


def test_channels_with_a_voice_are_kept_out_of_four():
    silent = np.zeros(SIZE)
    assert decide(silent, voice(1), silent, voice(2)).separate == (1, 3)


def test_split_keeps_every_channel_that_holds_sound():
    assert decide(voice(1), np.zeros(SIZE), voice(1), mode="split").separate == (0, 2)
    assert decide(voice(1), np.zeros(SIZE), mode="split").separate == ()


def normalised(tmp_path: Path, sound: np.ndarray, mode: ChannelMode, **media: Any) -> AudioFacts:
    source = corpus.write_media(tmp_path / "source", sound.astype(np.float32), rate=RATE, **media)
    return normalise(
        source, tmp_path / "audio.flac", max_seconds=86_400, channels=mode, detect_voice=all_sound_is_voice
    )


def test_kept_channels_are_unchanged_in_the_flac(tmp_path):
    sound = np.stack([turns(voice(1), first=True), turns(voice(2), first=False)], axis=1)
    facts = normalised(tmp_path, sound, "auto", form="wav", layout="stereo")
    assert (facts.channels, facts.flac_channels, channels_of(tmp_path / "audio.flac")) == (2, 2, 2)
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []
    for channel in (0, 1):
        samples = np.concatenate(list(read_blocks(tmp_path / "audio.flac", 5, channel)))
        assert np.abs(samples - sound[:, channel]).max() < 3 / 32768
    mixed = np.concatenate(list(read_blocks(tmp_path / "audio.flac", 5)))
    assert np.abs(mixed - sound.mean(axis=1)).max() < 3 / 32768


def test_channels_with_voices_of_a_surround_recording_are_written(tmp_path):
    sound = np.zeros((SIZE, 4))
    sound[:, 1], sound[:, 3] = voice(1), voice(2)
    facts = normalised(tmp_path, sound, "auto", form="mkv", layout="quad")
    assert (facts.channels, facts.flac_channels) == (4, 2)
    second = np.concatenate(list(read_blocks(tmp_path / "audio.flac", 5, 1)))
    assert np.corrcoef(second[: SIZE - RATE], sound[: SIZE - RATE, 3])[0, 1] > 0.99


def test_mixing_keeps_one_channel_and_says_why(tmp_path):
    sound = np.stack([voice(1), voice(2)], axis=1)
    facts = normalised(tmp_path, sound, "mix", form="wav", layout="stereo")
    assert facts.flac_channels == channels_of(tmp_path / "audio.flac") == 1
    assert facts.channels_note.startswith("the 2 channels are mixed")
