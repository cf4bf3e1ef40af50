"""Diarization in this process: segmentation of overlapping windows, and clustering of the voices in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils import convert_conv2d_weight_memory_format

from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.errors import TranscriptionAborted
from transcription_dagster.model import SpeakerLimits
from transcription_dagster.speakers.campplus import CamPlusPlus
from transcription_dagster.speakers.clustering import THRESHOLD, cluster
from transcription_dagster.speakers.diarizer import Diarization
from transcription_dagster.speakers.segmentation import FRAME_SECONDS, FRAMES, LOCAL_SPEAKERS, WINDOW, Segmentation
from transcription_dagster.speakers.turns import by_their_own_voice, speaker_turns, talking
from transcription_dagster.speakers.voices import Voice, VoiceStretch, voices
from transcription_dagster.speakers.weights import MODEL, load_weights
from transcription_dagster.speakers.windows import batches

#: Samples from one window to the next.
STEP = SAMPLE_RATE
#: Windows per batch of the segmentation: with more, the activations exceed the processor's cache, and memory grows.
_BATCH = 6
#: Shortest total speech of a speaker, in seconds.
_LEAST_SPOKEN = 1.0


@dataclass(frozen=True, slots=True)
class NetworkResults:
    """The networks' results for a recording."""

    seconds: float
    #: Who speaks in each window: bool of shape (windows, frames, local speakers).
    active: np.ndarray
    voices: tuple[Voice, ...]
    stretches: tuple[VoiceStretch, ...]


class LocalDiarizer:
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

    def diarize(
        self,
        blocks: Iterable[np.ndarray],
        limits: SpeakerLimits,
        *,
        on_progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> Diarization:
        """Implement `Diarizer.diarize`. Time and memory grow linearly with the recording's length."""
        return diarized(self.listen(blocks, on_progress=on_progress, should_stop=should_stop), limits)

    def listen(
        self, blocks: Iterable[np.ndarray], *, on_progress: Callable[[float], None], should_stop: Callable[[], bool]
    ) -> NetworkResults:
        """Run the networks over a recording."""
        length = _Length()
        active, found = [np.zeros((0, FRAMES, LOCAL_SPEAKERS), bool)], list[Voice | VoiceStretch]()
        for batch in batches(length.measured(blocks), window=WINDOW, step=STEP, size=_BATCH):
            if should_stop():
                raise TranscriptionAborted
            active.append(self._segmentation.active(batch.windows))
            found += voices(batch, active[-1], self._voices, step=STEP)
            on_progress((batch.first + len(batch.windows)) * STEP / SAMPLE_RATE)
        return NetworkResults(
            length.samples / SAMPLE_RATE,
            np.concatenate(active),
            tuple(one for one in found if isinstance(one, Voice)),
            tuple(one for one in found if isinstance(one, VoiceStretch)),
        )


def diarized(heard: NetworkResults, limits: SpeakerLimits, *, threshold: float = THRESHOLD) -> Diarization:
    """Turn the networks' results into turns."""
    if not heard.voices:
        return Diarization()
    vectors = np.stack([voice.vector for voice in heard.voices])
    spoken = np.array([voice.seconds for voice in heard.voices])
    groups, centres = cluster(vectors, spoken, limits, threshold=threshold)
    talks = _talking(heard, groups)
    spoken_by_all = talks.sum(axis=0) * FRAME_SECONDS
    lasting = np.flatnonzero(spoken_by_all >= _LEAST_SPOKEN)
    if limits.at_least <= len(lasting) < len(centres):
        # Speakers with hardly any speech are noise, or another speaker during noise.
        centres = centres[lasting]
        groups = np.where(np.isin(groups, lasting), np.searchsorted(lasting, groups), (vectors @ centres.T).argmax(1))
        talks = _talking(heard, groups)
    turns, order = speaker_turns(by_their_own_voice(talks, heard.stretches, centres), heard.seconds)
    return Diarization(turns, {f"spk_{number}": centres[speaker] for number, speaker in enumerate(order)})


def _talking(heard: NetworkResults, groups: np.ndarray) -> np.ndarray:
    """Return who speaks in each frame, given the speaker of each voice in `groups`."""
    speakers = np.full((len(heard.active), LOCAL_SPEAKERS), -1)
    for voice, group in zip(heard.voices, groups, strict=True):
        speakers[voice.window, voice.local] = group
    return talking(heard.active, speakers, step=STEP)


class _Length:
    """Counts samples as they pass through."""

    def __init__(self) -> None:
        self.samples = 0

    def measured(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.samples += block.size
            yield block
