"""pyannote/segmentation-3.0: which of up to three speakers talk in each frame of ten seconds of sound.

The network is PyanNet of pyannote.audio (MIT licence): learned band-pass filters (SincNet), LSTM, linear layers, and a
class for each set of at most two speakers (H. Bredin et al., "Powerset multi-class cross entropy loss for neural
speaker diarization", 2023).
"""

from __future__ import annotations

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
