"""Voice activity detection with Silero."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from silero_vad import load_silero_vad
from silero_vad.utils_vad import get_speech_timestamps_from_probs

from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.whisper.sound import FRAME, Sound, levelled, levels_of
from transcription_dagster.whisper.spans import Span

#: The detector works frame by frame, and most of the cost of a call is overhead. A long recording is therefore read
#: from many places in parallel, each starting a little earlier, until the detector's memory has settled.
_MOST_LANES = 16
_LANE_SECONDS = 5.0
_SETTLING_FRAMES = round(2.0 * SAMPLE_RATE / FRAME)

#: Idle detectors. A detector keeps state between calls, so each thread needs its own.
_detectors: deque[Any] = deque()


def analyse(samples: np.ndarray) -> Sound:
    """Measure float32 samples (16 kHz mono, any length): levels, and voice activity with quiet speech amplified."""
    levels = levels_of(samples)
    voice = speech_probabilities(levelled(samples, levels))
    return Sound(levels, voice, _spans(voice, samples.size), samples.size / SAMPLE_RATE)


def voice_probabilities(samples: np.ndarray) -> np.ndarray:
    """Return the voice probability of each 32 ms of float32 samples, with quiet speech amplified."""
    return analyse(samples).voice


def _spans(probabilities: np.ndarray, size: int) -> tuple[Span, ...]:
    found: list[dict[str, Any]] = get_speech_timestamps_from_probs(
        probabilities.tolist(), sampling_rate=SAMPLE_RATE, audio_length_samples=size
    )
    return tuple(Span(span["start"] / SAMPLE_RATE, span["end"] / SAMPLE_RATE) for span in found)


def speech_probabilities(samples: np.ndarray) -> np.ndarray:
    """Return the probability of speech for each 32 ms of `samples`, shape (frames,)."""
    frames = -(-samples.size // FRAME)
    if frames == 0:
        return np.zeros(0, np.float32)
    lanes = min(_MOST_LANES, 1 + int(samples.size / SAMPLE_RATE / _LANE_SECONDS))
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
