"""Measure a stretch of sound: its level relative to its own noise, and voice activity with Silero.

The detector expects speech at a normal level, so quiet speech is amplified first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from silero_vad import load_silero_vad
from silero_vad.utils_vad import get_speech_timestamps_from_probs

from transcription_dagster.audio.flac import FLOOR_DBFS
from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.whisper.spans import Span

#: Samples in one frame: 32 ms, the step of the voice detector.
FRAME = 512
FRAME_SECONDS = FRAME / SAMPLE_RATE

#: Shortest duration of a voice, in frames.
_LASTING_FRAMES = 3
#: Percentile of the frames' levels taken as noise: even dense speech consists of pauses for a tenth of the time.
_NOISE_PERCENTILE = 10
#: The level of speech at a frame is measured over this much of the recording around it.
_NEAR_SECONDS = 2.0
#: Speech is amplified to the first level (dBFS), but the noise at most to the second. Nothing is attenuated.
_SPEECH_DBFS = -23.0
_NOISE_DBFS = -45.0

#: The detector works frame by frame, and most of the cost of a call is overhead. A long recording is therefore read
#: from many places in parallel, each starting a little earlier, until the detector's memory has settled.
_MAX_LANES = 16
_LANE_SECONDS = 5.0
_SETTLING_FRAMES = round(2.0 * SAMPLE_RATE / FRAME)

#: Idle detectors. A detector keeps state between calls, so each thread needs its own.
_detectors: deque[Any] = deque()


@dataclass(frozen=True, slots=True)
class Levels:
    """The level of each frame of a stretch of sound."""

    #: Root mean square in dBFS, shape (frames,).
    frames: np.ndarray
    #: The level of the noise, in dBFS.
    noise: float

    def above_noise(self, start: float, end: float) -> float:
        """Return by how many dB the loudest two consecutive frames between two times (s) exceed the noise."""
        first, last = max(0, int(start / FRAME_SECONDS)), int(np.ceil(end / FRAME_SECONDS))
        near = self.frames[first : max(last, first + 2)]
        if near.size == 0:
            return 0.0
        pairs = np.minimum(near[:-1], near[1:]) if near.size > 1 else near
        return float(pairs.max() - self.noise)


@dataclass(frozen=True, slots=True)
class Sound:
    """Measurements of a stretch of sound; times in seconds from its start."""

    levels: Levels
    #: Probability of speech in each frame, shape (frames,).
    voice: np.ndarray
    #: Stretches of speech, in order and disjoint.
    speech: tuple[Span, ...]
    seconds: float

    def voice_between(self, start: float, end: float) -> float:
        """Return the highest probability of a voice lasting three frames between two times (s); 0 outside the sound.

        A musical note or a click can look like a voice for one frame; every vowel is longer than two.
        """
        first, last = max(0, int(start / FRAME_SECONDS) - 1), int(np.ceil(end / FRAME_SECONDS)) + 1
        near = self.voice[first:last]
        if near.size < _LASTING_FRAMES:
            return float(near.max(initial=0.0))
        return float(np.minimum(np.minimum(near[:-2], near[1:-1]), near[2:]).max())

    def voiced(self, start: float, end: float) -> float:
        """Return the seconds of speech between two times (s)."""
        within = Span(start, end)
        return sum(within.overlap_seconds(span) for span in self.speech)


def _levels_of(samples: np.ndarray) -> Levels:
    """Measure float32 `samples` in [-1, 1]; the last frame may be incomplete."""
    frames = -(-samples.size // FRAME)
    padded = np.zeros(frames * FRAME, np.float32)
    padded[: samples.size] = samples
    power = np.square(padded.reshape(frames, FRAME)).mean(axis=1)
    dbfs = 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DBFS / 10)))
    noise = float(np.percentile(dbfs, _NOISE_PERCENTILE)) if frames else FLOOR_DBFS
    return Levels(dbfs, noise)


def _with_speech_amplified(samples: np.ndarray, levels: Levels) -> np.ndarray:
    """Return `samples` with quiet speech amplified, for a detector that expects speech at a normal level."""
    if samples.size == 0:
        return samples
    gain = np.minimum(_SPEECH_DBFS - _loudest_nearby(levels.frames), _NOISE_DBFS - levels.noise)
    gain = np.maximum(gain, 0.0)
    if not gain.any():
        return samples
    centres = np.arange(gain.size) * FRAME + FRAME / 2
    factors = 10 ** (np.interp(np.arange(samples.size), centres, gain).astype(np.float32) / 20)
    return np.clip(samples * factors, -1.0, 1.0)


def _loudest_nearby(frames: np.ndarray) -> np.ndarray:
    """Return, for each frame, the highest level near it."""
    reach = round(_NEAR_SECONDS / FRAME_SECONDS)
    padded = np.pad(frames, reach, constant_values=-np.inf)
    # The maximum over a window is that of two overlapping power-of-two windows: a few passes for any width.
    width, step, loudest = 2 * reach + 1, 1, padded
    while 2 * step <= width:
        loudest = np.maximum(loudest[:-step], loudest[step:])
        step *= 2
    rest = width - step
    return np.maximum(loudest[: loudest.size - rest], loudest[rest:]) if rest else loudest


def analyse(samples: np.ndarray) -> Sound:
    """Measure float32 samples (16 kHz mono, any length): levels, and voice activity with quiet speech amplified."""
    levels = _levels_of(samples)
    voice = silero_probabilities(_with_speech_amplified(samples, levels))
    return Sound(levels, voice, _spans(voice, samples.size), samples.size / SAMPLE_RATE)


def voice_probabilities(samples: np.ndarray) -> np.ndarray:
    """Return the probability of a voice in each 32 ms of float32 samples (16 kHz mono), with quiet speech amplified."""
    return analyse(samples).voice


def _spans(probabilities: np.ndarray, size: int) -> tuple[Span, ...]:
    speech: list[dict[str, Any]] = get_speech_timestamps_from_probs(
        probabilities.tolist(), sampling_rate=SAMPLE_RATE, audio_length_samples=size
    )
    return tuple(Span(span["start"] / SAMPLE_RATE, span["end"] / SAMPLE_RATE) for span in speech)


def silero_probabilities(samples: np.ndarray) -> np.ndarray:
    """Return Silero's probability of speech for each 32 ms of float32 samples (16 kHz mono), shape (frames,)."""
    frames = -(-samples.size // FRAME)
    if frames == 0:
        return np.zeros(0, np.float32)
    lanes = min(_MAX_LANES, 1 + int(samples.size / SAMPLE_RATE / _LANE_SECONDS))
    steps = -(-frames // lanes)
    settling = _SETTLING_FRAMES if lanes > 1 else 0
    padded = torch.zeros((settling + lanes * steps, FRAME))
    padded.view(-1)[settling * FRAME :][: samples.size] = torch.from_numpy(samples)
    starts = torch.arange(lanes) * steps
    voice = torch.empty((settling + steps, lanes))
    with _detector() as detector, torch.inference_mode():
        detector.reset_states()
        for step in range(len(voice)):
            voice[step] = detector(padded[starts + step], SAMPLE_RATE)[:, 0]
    return voice[settling:].T.reshape(-1)[:frames].numpy()


@contextmanager
def _detector() -> Iterator[Any]:
    """Lend a detector: an idle one, or a new one."""
    try:
        detector = _detectors.pop()
    except IndexError:
        detector = load_silero_vad()
    try:
        yield detector
    finally:
        _detectors.append(detector)
