"""CAM++: embed the voice of a few seconds of speech as a vector.

The network of H. Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware
Masking", 2023, as published by 3D-Speaker (Apache-2.0): a residual front end over time and frequency, densely connected
time-delay layers whose outputs are masked by their context, and pooled statistics.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Dimensions of an embedding.
DIMENSIONS = 192
#: Mel bands of the features.
BANDS = 80

_GROWTH = 32
_BOTTLENECK = 128
#: Layers and dilation of each dense block.
_BLOCKS = ((12, 1), (24, 2), (16, 2))
#: A mask's context is the mean over this many frames.
_CONTEXT_FRAMES = 100


class CamPlusPlus(nn.Module):
    """The network; parameters have the names of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.head = _FrontEnd()
        layers: dict[str, nn.Module] = {"tdnn": _TimeDelay(320, 128)}
        channels = 128
        for number, (depth, dilation) in enumerate(_BLOCKS, start=1):
            layers[f"block{number}"] = _DenseBlock(depth, channels, dilation)
            channels += depth * _GROWTH
            layers[f"transit{number}"] = _Unit(channels, channels // 2)
            channels //= 2
        layers["out_nonlinear"] = _Activation(channels)
        layers["dense"] = _Embedding(2 * channels)
        self.xvector = nn.ModuleDict(layers)

    def forward(self, features: Tensor) -> Tensor:
        """Embed speech: features of shape (batch, frames, `BANDS`), of any length, to (batch, `DIMENSIONS`)."""
        hidden = self.head(features.transpose(1, 2))
        for name, layer in self.xvector.items():
            if name == "dense":
                # The standard deviation over frames is the unbiased one.
                hidden = torch.cat([hidden.mean(dim=-1), hidden.std(dim=-1)], dim=-1)
            hidden = layer(hidden)
        return hidden


class _FrontEnd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.layer1 = nn.Sequential(_Residual(2), _Residual(1))
        self.layer2 = nn.Sequential(_Residual(2), _Residual(1))
        self.conv2 = nn.Conv2d(32, 32, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)

    def forward(self, features: Tensor) -> Tensor:
        hidden = functional.relu(self.bn1(self.conv1(features[:, None])))
        hidden = self.layer2(self.layer1(hidden))
        return functional.relu(self.bn2(self.conv2(hidden))).flatten(1, 2)


class _Residual(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(32, 32, 3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(32, 32, 1, stride=(stride, 1), bias=False), nn.BatchNorm2d(32))

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(features)))))
        return functional.relu(hidden + self.shortcut(features))


class _Activation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.batchnorm = nn.BatchNorm1d(channels)

    def forward(self, hidden: Tensor) -> Tensor:
        return functional.relu(self.batchnorm(hidden))


class _TimeDelay(nn.Module):
    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels, outputs, 5, stride=2, padding=2, bias=False)
        self.nonlinear = _Activation(outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.nonlinear(self.linear(hidden))


class _Unit(nn.Module):
    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.nonlinear = _Activation(channels)
        self.linear = nn.Conv1d(channels, outputs, 1, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.linear(self.nonlinear(hidden))


class _DenseBlock(nn.Module):
    def __init__(self, depth: int, channels: int, dilation: int) -> None:
        super().__init__()
        for number in range(depth):
            self.add_module(f"tdnnd{number + 1}", _DenseLayer(channels + number * _GROWTH, dilation))

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in self.children():
            hidden = torch.cat([hidden, layer(hidden)], dim=1)
        return hidden


class _DenseLayer(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _Activation(channels)
        self.linear1 = nn.Conv1d(channels, _BOTTLENECK, 1, bias=False)
        self.nonlinear2 = _Activation(_BOTTLENECK)
        self.cam_layer = _Masked(dilation)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(hidden))))


class _Masked(nn.Module):
    """A time-delay layer whose output is weighted by its local context and by the mean over all frames."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(_BOTTLENECK, _GROWTH, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(_BOTTLENECK, _BOTTLENECK // 2, 1)
        self.linear2 = nn.Conv1d(_BOTTLENECK // 2, _GROWTH, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        nearby = functional.avg_pool1d(hidden, _CONTEXT_FRAMES, _CONTEXT_FRAMES, ceil_mode=True)
        context = hidden.mean(dim=-1, keepdim=True) + nearby
        # The mask is the same for all frames of a segment, so it is computed once per segment.
        mask = torch.sigmoid(self.linear2(functional.relu(self.linear1(context))))
        mask = mask.repeat_interleave(_CONTEXT_FRAMES, dim=-1)[..., : hidden.shape[-1]]
        return self.linear_local(hidden) * mask


class _Embedding(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels, DIMENSIONS, 1, bias=False)
        self.nonlinear = nn.ModuleDict({"batchnorm": nn.BatchNorm1d(DIMENSIONS, affine=False)})

    def forward(self, statistics: Tensor) -> Tensor:
        return self.nonlinear["batchnorm"](self.linear(statistics[..., None])[..., 0])
