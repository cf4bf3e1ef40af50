"""Read Whisper models in CTranslate2's layout (used by faster-whisper): a folder with `model.bin` and `config.json`.

`model.bin` is little-endian, as CTranslate2's `ModelSpec.save` writes it (binary version 6): version, name and revision
of the specification; the variables, each with name, rank, dimensions, type and bytes; pairs of alias and name. Strings
are prefixed with their length and end with a zero byte.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from transcription_dagster.whisper.models.files import CTRANSLATE2_FILE
from transcription_dagster.whisper.models.weights import Weights, measured_dims, read_alignment_heads

#: The first binary version whose variables carry the type and size read here.
_OLDEST_VERSION = 4
_NEWEST_VERSION = 6
_TYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)
#: A convolution's weights have the most dimensions of Whisper's variables.
_MAX_DIMENSIONS = 3

#: CTranslate2's names of the parts of a layer outside its attentions, with Whisper's names.
_NORM = {"gamma": "weight", "beta": "bias"}
_LINEAR = {"weight": "weight", "bias": "bias"}


def read_ctranslate2(folder: Path) -> Weights:
    """Read the model in a folder. Raises `ValueError` naming the deviation from CTranslate2's format, or `OSError`."""
    with (folder / CTRANSLATE2_FILE).open("rb") as file:
        variables = _Variables(_read_variables(file, (folder / CTRANSLATE2_FILE).stat().st_size))
    tensors = dict(_tensors(variables))
    dims = measured_dims(tensors, variables.number("encoder/num_heads"), variables.number("decoder/num_heads"))
    return Weights(dims, tensors, read_alignment_heads(folder / "config.json"))


class _Variables:
    """A model's variables by name, dequantized."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def number(self, name: str) -> int:
        return int(self._plain(name).item())

    def __getitem__(self, name: str) -> Tensor:
        tensor = self._plain(name)
        if tensor.dtype.is_floating_point:
            return tensor
        scale = self._plain(f"{name}_scale").to(torch.float32)
        # One scale for the whole variable (int16), or one per row (int8).
        return tensor.to(torch.float32) / scale.reshape(-1, *[1] * (tensor.dim() - 1))

    def _plain(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise ValueError(f"{CTRANSLATE2_FILE} has no {name}")
        return self._tensors[name]


def _read_variables(file: BinaryIO, size: int) -> dict[str, Tensor]:
    version = _number(file, "I")
    if not _OLDEST_VERSION <= version <= _NEWEST_VERSION:
        raise ValueError(
            f"{CTRANSLATE2_FILE} has the binary version {version}, not {_OLDEST_VERSION} to {_NEWEST_VERSION}"
        )
    specification = _string(file)
    if specification != "WhisperSpec":
        raise ValueError(f"{CTRANSLATE2_FILE} holds a {specification!r}, not a WhisperSpec")
    _number(file, "I")
    variables: dict[str, Tensor] = {}
    for _ in range(_number(file, "I")):
        name = _string(file)
        variables[name] = _variable(file, name, size)
    for _ in range(_number(file, "I")):
        alias, name = _string(file), _string(file)
        if name not in variables:
            raise ValueError(f"{CTRANSLATE2_FILE} calls {name}, which it does not hold, {alias} as well")
        variables[alias] = variables[name]
    return variables


def _variable(file: BinaryIO, name: str, size: int) -> Tensor:
    rank = _number(file, "B")
    if rank > _MAX_DIMENSIONS:
        raise ValueError(f"{name} has {rank} dimensions")
    shape = [_number(file, "I") for _ in range(rank)]
    kind, length = _number(file, "B"), _number(file, "I")
    if kind >= len(_TYPES):
        raise ValueError(f"{name} has the unknown type {kind}")
    if length > size:
        raise ValueError(f"{CTRANSLATE2_FILE} ends too early")
    if length != math.prod(shape) * _TYPES[kind].itemsize:
        raise ValueError(f"{name} of the shape {tuple(shape)} claims {length} bytes")
    data = bytearray(_bytes(file, length))
    return torch.frombuffer(data, dtype=_TYPES[kind]).reshape(shape) if length else torch.zeros(shape)


def _number(file: BinaryIO, kind: str) -> int:
    return struct.unpack(f"<{kind}", _bytes(file, struct.calcsize(kind)))[0]


def _string(file: BinaryIO) -> str:
    return _bytes(file, _number(file, "H")).rstrip(b"\0").decode("utf-8")


def _bytes(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError(f"{CTRANSLATE2_FILE} ends too early")
    return data


def _tensors(variables: _Variables) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors under Whisper's names."""
    for number in (1, 2):
        yield from _copied(variables, f"encoder/conv{number}", f"encoder.conv{number}", _LINEAR)
    yield "encoder.positional_embedding", variables["encoder/position_encodings/encodings"]
    yield from _layers(variables, "encoder", crossed=False)
    yield from _copied(variables, "encoder/layer_norm", "encoder.ln_post", _NORM)
    yield "decoder.token_embedding.weight", variables["decoder/embeddings/weight"]
    yield "decoder.positional_embedding", variables["decoder/position_encodings/encodings"]
    yield from _layers(variables, "decoder", crossed=True)
    yield from _copied(variables, "decoder/layer_norm", "decoder.ln", _NORM)


def _layers(variables: _Variables, part: str, *, crossed: bool) -> Iterator[tuple[str, Tensor]]:
    number = 0
    while f"{part}/layer_{number}/ffn/layer_norm/gamma" in variables:
        source, target = f"{part}/layer_{number}", f"{part}.blocks.{number}"
        yield from _attention(variables, f"{source}/self_attention", f"{target}.attn", ["query", "key", "value"])
        if crossed:
            # Queries come from the text, keys and values from the audio, so there are two matrices.
            yield from _attention(variables, f"{source}/attention", f"{target}.cross_attn", ["query"], ["key", "value"])
        yield from _copied(variables, f"{source}/ffn/layer_norm", f"{target}.mlp_ln", _NORM)
        yield from _copied(variables, f"{source}/ffn/linear_0", f"{target}.mlp.0", _LINEAR)
        yield from _copied(variables, f"{source}/ffn/linear_1", f"{target}.mlp.2", _LINEAR)
        number += 1


def _attention(variables: _Variables, source: str, target: str, *fused: list[str]) -> Iterator[tuple[str, Tensor]]:
    """Yield an attention's tensors, splitting those that CTranslate2 stores in one matrix."""
    yield from _copied(variables, f"{source}/layer_norm", f"{target}_ln", _NORM)
    for number, names in enumerate(fused):
        weights = _split(variables, f"{source}/linear_{number}/weight", len(names))
        biases = _split(variables, f"{source}/linear_{number}/bias", len(names))
        for name, weight, bias in zip(names, weights, biases, strict=True):
            yield f"{target}.{name}.weight", weight
            if name != "key":
                yield f"{target}.{name}.bias", bias
            elif bias.any():
                raise ValueError(f"{source}/linear_{number}/bias moves the keys, which Whisper never does")
    yield from _copied(variables, f"{source}/linear_{len(fused)}", f"{target}.out", _LINEAR)


def _split(variables: _Variables, name: str, parts: int) -> tuple[Tensor, ...]:
    tensor = variables[name]
    if tensor.dim() == 0 or tensor.shape[0] % parts:
        raise ValueError(f"{name} of the shape {tuple(tensor.shape)} cannot be taken apart into {parts}")
    return tensor.chunk(parts)


def _copied(variables: _Variables, source: str, target: str, names: Mapping[str, str]) -> Iterator[tuple[str, Tensor]]:
    for theirs, ours in names.items():
        yield f"{target}.{ours}", variables[f"{source}/{theirs}"]
