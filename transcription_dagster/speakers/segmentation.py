"""Segment overlapping windows of a recording with pyannote/segmentation-3.0: who talks in each frame of ten seconds.

The network is PyanNet of pyannote.audio (MIT licence): learned band-pass filters (SincNet), LSTM, linear layers, and a
class for each set of at most two speakers (H. Bredin et al., "Powerset multi-class cross entropy loss for neural
speaker diarization", 2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from transcription_dagster.audio.mixing import SAMPLE_RATE

#: Samples of the window length that the network was trained on.
WINDOW = 10 * SAMPLE_RATE
#: Speakers that the network distinguishes in one window.
LOCAL_SPEAKERS = 3
#: Samples from one frame to the next, and to the middle of the first, from the layers' strides and widths.
FRAME_STEP = 270
FRAME_OFFSET = 495
#: Frames of a window.
FRAMES = 589
FRAME_SECONDS = FRAME_STEP / SAMPLE_RATE

#: The network's classes: no speaker, one speaker, two speakers.
_POWERSET = np.array(
    [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)],
    dtype=bool,
)


def first_frame(window: int, step: int) -> int:
    """Return the frame of the recording at which a window begins, for windows `step` samples apart."""
    return round(window * step / FRAME_STEP)


def active_runs(active: np.ndarray) -> list[tuple[int, int]]:
    """Return the runs of set flags in `active`, bool of shape (frames,), as (first frame, frame after the last)."""
    edges = np.diff(active.astype(np.int8), prepend=0, append=0)
    return list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))


class Segmentation(nn.Module):
    """The network; parameters have the names of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.sincnet = _SincNet()
        self.lstm = nn.LSTM(60, 128, num_layers=4, bidirectional=True, batch_first=True)
        self.linear = nn.ModuleList([nn.Linear(256, 128), nn.Linear(128, 128)])
        self.classifier = nn.Linear(128, len(_POWERSET))

    def forward(self, samples: Tensor) -> Tensor:
        """Score the classes: shape (windows, `WINDOW`) to (windows, `FRAMES`, classes)."""
        hidden, _ = self.lstm(self.sincnet(samples[:, None]).transpose(1, 2))
        for layer in self.linear:
            hidden = functional.leaky_relu(layer(hidden))
        return self.classifier(hidden)

    @torch.inference_mode()
    def active(self, windows: np.ndarray) -> np.ndarray:
        """Return who speaks: float32 (windows, `WINDOW`) to bool (windows, `FRAMES`, `LOCAL_SPEAKERS`)."""
        scores = self(torch.tensor(windows, device=self.classifier.weight.device))
        return _POWERSET[scores.argmax(dim=-1).cpu().numpy()]


class _SincNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wav_norm1d = nn.InstanceNorm1d(1, affine=True)
        self.conv1d = nn.ModuleList([_BandPasses(), nn.Conv1d(80, 60, 5), nn.Conv1d(60, 60, 5)])
        self.norm1d = nn.ModuleList([nn.InstanceNorm1d(channels, affine=True) for channels in (80, 60, 60)])

    def forward(self, samples: Tensor) -> Tensor:
        hidden = self.wav_norm1d(samples)
        for number, (layer, norm) in enumerate(zip(self.conv1d, self.norm1d, strict=True)):
            hidden = layer(hidden)
            if number == 0:
                hidden = hidden.abs()
            hidden = functional.leaky_relu(norm(functional.max_pool1d(hidden, 3)))
        return hidden


class _BandPasses(nn.Module):
    """40 band-pass filters with learned edges, as even (cosine) and odd (sine) filters of 251 samples.

    M. Ravanelli and Y. Bengio, "Speaker recognition from raw waveform with SincNet", 2018; the odd filters follow the
    parametrised filterbank of M. Pariente et al., "Filterbank design for end-to-end speech separation", 2020.
    """

    _LOWEST_HZ = 50.0
    _NARROWEST_HZ = 50.0
    _STRIDE = 10

    def __init__(self) -> None:
        super().__init__()
        self.filterbank = nn.ParameterDict(
            {
                "low_hz_": nn.Parameter(torch.zeros(40, 1)),
                "band_hz_": nn.Parameter(torch.zeros(40, 1)),
                "window_": nn.Parameter(torch.zeros(125)),
                "n_": nn.Parameter(torch.zeros(1, 125)),
            }
        )

    def forward(self, samples: Tensor) -> Tensor:
        return functional.conv1d(samples, self._filters(), stride=self._STRIDE)

    def _filters(self) -> Tensor:
        bank = self.filterbank
        low = self._LOWEST_HZ + bank["low_hz_"].abs()
        high = (low + self._NARROWEST_HZ + bank["band_hz_"].abs()).clamp(self._LOWEST_HZ, SAMPLE_RATE / 2)
        at_low, at_high, half = low @ bank["n_"], high @ bank["n_"], bank["n_"] / 2
        width = 2 * (high - low)
        even = (at_high.sin() - at_low.sin()) / half * bank["window_"]
        odd = (at_low.cos() - at_high.cos()) / half * bank["window_"]
        evens = torch.cat([even, width, even.flip(1)], dim=1)
        odds = torch.cat([odd, torch.zeros_like(width), -odd.flip(1)], dim=1)
        return (torch.cat([evens, odds]) / torch.cat([width, width]))[:, None]


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Consecutive windows at a fixed step."""

    #: Number of the first window in the recording.
    first: int
    #: The sound of all of them, float32 of shape (samples,).
    samples: np.ndarray
    #: float32 of shape (windows, samples of a window): views into the sound.
    windows: np.ndarray
    #: Whether it is the last batch of the recording.
    is_last: bool = False


def batches(blocks: Iterable[np.ndarray], *, window: int, step: int, size: int) -> Iterator[WindowBatch]:
    """Cut sound, given in blocks of any length, into windows of `window` samples every `step`, `size` per batch.

    The last window is padded with silence, so that every sample is in a window; empty sound has no windows.
    """
    held: WindowBatch | None = None
    for batch in _batches(blocks, window, step, size):
        if held is not None:
            yield held
        held = batch
    if held is not None:
        yield replace(held, is_last=True)


def _batches(blocks: Iterable[np.ndarray], window: int, step: int, size: int) -> Iterator[WindowBatch]:
    first, pending, blocks = 0, np.zeros(0, np.float32), iter(blocks)
    whole = window + (size - 1) * step
    while True:
        parts = [pending]
        missing = whole - pending.size
        while missing > 0 and (block := next(blocks, None)) is not None:
            parts.append(block)
            missing -= block.size
        pending = np.concatenate(parts)
        if pending.size < whole:
            break
        yield _batch(first, pending[:whole], window, step)
        first, pending = first + size, pending[size * step :]
    # Samples that earlier windows have not covered yet.
    if pending.size > (window - step if first else 0):
        count = 1 + max(0, -(-(pending.size - window) // step))
        sound = np.zeros(window + (count - 1) * step, np.float32)
        sound[: pending.size] = pending
        yield _batch(first, sound, window, step)


def _batch(first: int, samples: np.ndarray, window: int, step: int) -> WindowBatch:
    return WindowBatch(first, samples, np.lib.stride_tricks.sliding_window_view(samples, window)[::step])
