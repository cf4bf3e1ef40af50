"""Decide from the sound of a recording's channels whether they hold different voices.

A call has one party on each channel. Most other stereo recordings have every voice on both, at the same level or, with
two microphones, at different ones. Channels are compared per half second: a channel has its own sound where it is much
louder than the others, or where it is unrelated to them. Two channels share a sound if the cross-correlation of their
equalised spectra has a peak (PHAT: Knapp and Carter, 1976, IEEE Trans. ASSP 24), independent of level, frequency
response and distance of the microphones; or, in a room that blurs the peak, if their levels rise and fall together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.model import ChannelMode

#: Gives the probability of a voice for each 32 ms of float32 samples (16 kHz mono).
DetectVoice = Callable[[np.ndarray], np.ndarray]
#: Reads a channel in blocks of this many seconds.
ReadChannel = Callable[[int, float], Iterator[np.ndarray]]

#: Samples of a window, and windows compared in one step.
_WINDOW = 8_192
_WINDOWS_AT_ONCE = 64
_WINDOW_SECONDS = _WINDOW / SAMPLE_RATE
_VOICE_FRAME = 512
#: Lower levels are silence (dBFS, root mean square).
_SILENCE = -65.0
#: A voice that is louder than in the other channel by this (dB) was spoken into this one.
_OWN_LEVEL = 12.0
#: A lower peak is chance: unrelated voices reach 0.1, one voice in two microphones of a room 0.2 and more.
_COMMON_PEAK = 0.12
#: Levels with this correlation over some seconds belong to one sound: unrelated voices reach 0.35, one voice in two
#: microphones of an echoing room 0.66 and more.
_COMMON_LEVELS = 0.6
_WINDOWS_OF_LEVELS = 8
_LEVEL_FRAME = 512
#: The frequency band of speech in hertz, and the maximum distance of two microphones in seconds of sound.
_BAND = (200.0, 4_000.0)
_LONGEST_DELAY = 0.02
#: A window holds a voice if this share of its frames does, each with this probability.
_VOICED_SHARE, _VOICED = 0.3, 0.5
#: A channel has a voice of its own if it has this many seconds of it, and this share of all voices.
_OWN_SECONDS, _OWN_SHARE = 1.0, 0.05
#: The channels are mixed if more than this share of the voices is on both alike.
_COMMON_SHARE = 0.25
#: Voices are detected in at most this much of a recording, sampled evenly.
_EXAMINED_SECONDS = 1_200.0
_WINDOWS_PER_BLOCK = 60 * SAMPLE_RATE // _WINDOW


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """How to treat the channels of a recording, and why."""

    #: Numbers of the channels to transcribe separately; empty: mix all channels.
    separate: tuple[int, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ChannelLevels:
    """Measurements of each window, shape (windows, channels)."""

    #: dBFS (root mean square).
    levels: np.ndarray
    #: Whether the channel has its own sound there.
    own: np.ndarray

    @property
    def channels(self) -> int:
        return self.levels.shape[1]


class ChannelMeter:
    """Compares the channels of a recording window by window while it is decoded."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._held = np.zeros((channels, 0), np.int16)
        self._levels: list[np.ndarray] = []
        self._own: list[np.ndarray] = []

    def add(self, samples: np.ndarray) -> None:
        """Add int16 samples of shape (channels, samples)."""
        self._held = np.concatenate([self._held, samples], axis=1)
        step = _WINDOW * _WINDOWS_AT_ONCE
        while self._held.shape[1] >= step:
            self._measure(self._held[:, :step])
            self._held = self._held[:, step:]

    def measurements(self) -> ChannelLevels:
        """Return the measurements of all windows; an incomplete last window is left out."""
        whole = self._held.shape[1] // _WINDOW * _WINDOW
        if whole:
            self._measure(self._held[:, :whole])
            self._held = self._held[:, whole:]
        empty = np.zeros((0, self._channels))
        return ChannelLevels(np.concatenate([empty, *self._levels]), np.concatenate([empty.astype(bool), *self._own]))

    def _measure(self, samples: np.ndarray) -> None:
        windows = samples.reshape(self._channels, -1, _WINDOW).astype(np.float32) / 32768.0
        levels = 10 * np.log10(np.square(windows).mean(axis=2) + 1e-12)
        own = levels > _SILENCE
        spectra = np.fft.rfft(windows * np.hanning(_WINDOW).astype(np.float32), axis=2)
        for one, other in combinations(range(self._channels), 2):
            both = own[one] & own[other]
            common = np.zeros(both.shape, bool)
            common[both] = _correlation_peaks(spectra[one][both], spectra[other][both]) >= _COMMON_PEAK
            common |= _level_correlations(windows[one], windows[other]) >= _COMMON_LEVELS
            own[one] &= ~(common & (levels[one] - levels[other] < _OWN_LEVEL))
            own[other] &= ~(common & (levels[other] - levels[one] < _OWN_LEVEL))
        self._levels.append(levels.T)
        self._own.append(own.T)


def _correlation_peaks(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the highest peak of the windows' cross-correlations, 0 to 1; spectra have shape (windows, bins)."""
    cross = one * np.conj(other)
    cross /= np.abs(cross) + 1e-12
    bins = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE)
    band = (bins >= _BAND[0]) & (bins <= _BAND[1])
    cross[:, ~band] = 0
    # The inverse transform of a spectrum that is 1 in the band has this height at its middle.
    correlation = np.fft.irfft(cross, axis=1) * (_WINDOW / (2 * band.sum()))
    reach = round(_LONGEST_DELAY * SAMPLE_RATE)
    near = np.concatenate([correlation[:, : reach + 1], correlation[:, -reach:]], axis=1)
    return np.abs(near).max(axis=1, initial=0.0)


def _level_correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how much the levels of two channels rise and fall together around each window, -1 to 1.

    `one` and `other` are samples of shape (windows, samples); neighbouring windows share the result.
    """
    correlations = np.zeros(len(one))
    for first in range(0, len(one), _WINDOWS_OF_LEVELS):
        stretch = slice(first, first + _WINDOWS_OF_LEVELS)
        levels = [_frame_levels(samples[stretch]) for samples in (one, other)]
        deviations = [level - level.mean() for level in levels]
        scale = np.sqrt(np.prod([np.square(deviation).sum() for deviation in deviations]))
        correlations[stretch] = (deviations[0] * deviations[1]).sum() / max(scale, 1e-6)
    return correlations


def _frame_levels(samples: np.ndarray) -> np.ndarray:
    power = np.square(samples.reshape(-1, _LEVEL_FRAME)).mean(axis=1)
    return np.maximum(10 * np.log10(power + 1e-12), _SILENCE)


def choose_channels(
    measured: ChannelLevels, mode: ChannelMode, *, read: ReadChannel, detect_voice: DetectVoice | None = None
) -> ChannelChoice:
    """Decide whether to mix the channels of a recording with at least two of them.

    Voices are detected only if two channels have their own sound, which is rare: `read` and `detect_voice` are not
    called otherwise.
    """
    count = measured.channels
    if mode == "split":
        sounding = tuple(int(channel) for channel in np.flatnonzero((measured.levels > _SILENCE).any(axis=0)))
        if len(sounding) < 2:
            return ChannelChoice(reason=f"the {count} channels are mixed: at most one of them holds any sound")
        return ChannelChoice(
            sounding, f"{_named(sounding)} are kept apart, as TRANSCRIPTION_CHANNELS or the worklist says"
        )
    candidates: list[int] = np.flatnonzero(measured.own.sum(axis=0) * _WINDOW_SECONDS >= _OWN_SECONDS).tolist()
    if len(candidates) < 2 or detect_voice is None:
        return ChannelChoice(reason=f"the {count} channels are mixed: they hold the same sound, or one alone holds any")
    windows, voiced = _voiced(measured, candidates, read, detect_voice)
    return _choice_by_voices(measured.own[windows][:, candidates], voiced, candidates, count)


def _choice_by_voices(own: np.ndarray, voiced: np.ndarray, candidates: Sequence[int], count: int) -> ChannelChoice:
    """Decide by the windows with voices: `own` and `voiced` have shape (windows, candidates)."""
    voiced_blocks = int(voiced.any(axis=1).sum())
    owned = voiced & own
    seconds = owned.sum(axis=0) * _WINDOW_SECONDS
    enough = max(_OWN_SECONDS, _OWN_SHARE * voiced_blocks * _WINDOW_SECONDS)
    speaking = tuple(channel for channel, each in zip(candidates, seconds, strict=True) if each >= enough)
    if len(speaking) < 2:
        return ChannelChoice(reason=f"the {count} channels are mixed: at most one of them holds a voice of its own")
    common = 1 - owned.any(axis=1).sum() / voiced_blocks
    if common > _COMMON_SHARE:
        return ChannelChoice(
            reason=f"the {count} channels are mixed: {common:.0%} of the speech is on several of them alike"
        )
    shares = " and ".join(f"{each / (voiced_blocks * _WINDOW_SECONDS):.0%}" for each in seconds if each >= enough)
    return ChannelChoice(
        speaking,
        f"{_named(speaking)} are kept apart: each holds a voice of its own, for {shares} of the speech; "
        f"{common:.0%} is on several alike",
    )


def _voiced(
    measured: ChannelLevels, candidates: Sequence[int], read: ReadChannel, detect_voice: DetectVoice
) -> tuple[np.ndarray, np.ndarray]:
    """Return the examined windows, and whether they hold a voice, shape (windows, candidates)."""
    total = len(measured.own)
    blocks = -(-total // _WINDOWS_PER_BLOCK)
    every = max(1, round(blocks * _WINDOWS_PER_BLOCK * _WINDOW_SECONDS / _EXAMINED_SECONDS))
    windows = np.concatenate(
        [
            np.arange(block * _WINDOWS_PER_BLOCK, min(total, (block + 1) * _WINDOWS_PER_BLOCK))
            for block in range(0, blocks, every)
        ]
    )
    columns = [
        _voiced_windows(read(channel, _WINDOWS_PER_BLOCK * _WINDOW_SECONDS), every, detect_voice)
        for channel in candidates
    ]
    return windows, np.stack(columns, axis=1)[: len(windows)]


def _voiced_windows(blocks: Iterator[np.ndarray], every: int, detect_voice: DetectVoice) -> np.ndarray:
    """Return whether each window of every `every`th block holds a voice, shape (windows,)."""
    voiced = []
    for number, block in enumerate(blocks):
        if number % every == 0:
            whole = block[: block.size // _WINDOW * _WINDOW]
            frames = detect_voice(whole).reshape(-1, _WINDOW // _VOICE_FRAME) > _VOICED
            voiced.append(frames.mean(axis=1) >= _VOICED_SHARE)
    return np.concatenate(voiced)


def _named(channels: Sequence[int]) -> str:
    numbers = [str(channel + 1) for channel in channels]
    return f"channels {', '.join(numbers[:-1])} and {numbers[-1]}"
