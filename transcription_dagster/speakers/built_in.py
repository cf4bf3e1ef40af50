"""The built-in diarizer: segmentation of overlapping windows, and clustering of the voices in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.model import SpeakerLimits
from transcription_dagster.speakers.campplus import CamPlusPlus
from transcription_dagster.speakers.diarizer import Diarization, Report
from transcription_dagster.speakers.segmentation import (
    FRAMES,
    LOCAL_SPEAKERS,
    WINDOW,
    Segmentation,
    batches,
)
from transcription_dagster.speakers.turns import STEP, NetworkResults, assign_speakers
from transcription_dagster.speakers.voices import Voice, VoiceStretch, voices
from transcription_dagster.speakers.weights import MODEL, load_weights

#: Windows per batch of the segmentation: with more, the activations exceed the processor's cache, and memory grows.
_BATCH = 6


class BuiltInDiarizer:
    """pyannote's segmentation and CAM++ on one device, loaded once; diarizes one recording at a time."""

    model = MODEL

    def __init__(self, folder: Path, device: str) -> None:
        """`folder` is the result of `speaker_models` or `fetch_speaker_models`."""
        self._segmentation, self._voices = Segmentation(), CamPlusPlus()
        for network, weights in zip((self._segmentation, self._voices), load_weights(folder), strict=True):
            network.load_state_dict(weights)
            network.to(device).eval()
            # Convolutions over time and frequency are faster with the channels last.
            convert_conv2d_weight_memory_format(network, torch.channels_last)

    def diarize(self, blocks: Iterable[np.ndarray], limits: SpeakerLimits, report: Report) -> Diarization:
        """Implement `Diarizer.diarize`. Time and memory grow linearly with the recording's length."""
        return assign_speakers(self.run_networks(blocks, report), limits)

    def run_networks(self, blocks: Iterable[np.ndarray], report: Report) -> NetworkResults:
        """Run the networks over a recording; the parameters are those of `Diarizer.diarize`."""
        length = _Length()
        active, embedded = [np.zeros((0, FRAMES, LOCAL_SPEAKERS), bool)], list[Voice | VoiceStretch]()
        for batch in batches(length.measured(blocks), window=WINDOW, step=STEP, size=_BATCH):
            report(batch.first * STEP / SAMPLE_RATE)
            active.append(self._segmentation.active(batch.windows))
            embedded += voices(batch, active[-1], self._voices, step=STEP)
        seconds = length.samples / SAMPLE_RATE
        report(seconds)
        return NetworkResults(
            seconds,
            np.concatenate(active),
            tuple(one for one in embedded if isinstance(one, Voice)),
            tuple(one for one in embedded if isinstance(one, VoiceStretch)),
        )


class _Length:
    """Counts samples as they pass through."""

    def __init__(self) -> None:
        self.samples = 0

    def measured(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.samples += block.size
            yield block
