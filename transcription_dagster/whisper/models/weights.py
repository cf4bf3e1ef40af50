"""Whisper's state dict, independent of the layout it was read from, and the network built from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from whisper.model import ModelDimensions, Whisper

#: Vocabulary sizes of Whisper's tokenizers: English only, multilingual, and multilingual with Cantonese.
_VOCABULARIES = (51864, 51865, 51866)

_BLOCK = re.compile(r"(encoder|decoder)\.blocks\.(\d+)\.")

#: A layer of the decoder and one of its heads whose cross-attention follows the speech.
Head = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's tensors under openai-whisper's names."""

    dims: ModelDimensions
    tensors: Mapping[str, Tensor]
    #: None if unknown; Whisper then uses all heads of the second half of the decoder's layers.
    alignment_heads: Sequence[Head] | None = None


def read_alignment_heads(file: Path) -> list[Head] | None:
    """Return the alignment heads in a JSON file with the key `alignment_heads`; None without the file or the key."""
    heads = read_json_object(file).get("alignment_heads") if file.is_file() else None
    return None if heads is None else [(int(layer), int(head)) for layer, head in heads]


def read_json_object(file: Path) -> Mapping[str, Any]:
    """Read a JSON file. Raises `ValueError` unless it holds an object."""
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{file.name} is not a JSON object")
    return content


def measured_dims(tensors: Mapping[str, Tensor], audio_heads: int, text_heads: int) -> ModelDimensions:
    """Return a model's dimensions from its tensors; the shapes do not show the heads. Raises `ValueError`."""
    state, mels, _ = _shape(tensors, "encoder.conv1.weight", 3)
    contexts, _ = _shape(tensors, "encoder.positional_embedding", 2)
    words, text_state = _shape(tensors, "decoder.token_embedding.weight", 2)
    text_contexts, _ = _shape(tensors, "decoder.positional_embedding", 2)
    return ModelDimensions(
        n_mels=mels,
        n_audio_ctx=contexts,
        n_audio_state=state,
        n_audio_head=audio_heads,
        n_audio_layer=_layers(tensors, "encoder"),
        n_vocab=words,
        n_text_ctx=text_contexts,
        n_text_state=text_state,
        n_text_head=text_heads,
        n_text_layer=_layers(tensors, "decoder"),
    )


def network(weights: Weights) -> Whisper:
    """Build the network on the CPU in single precision.

    The dimensions are checked against the tensors first, so that a file cannot make the program reserve more memory
    than the file itself holds. Raises `ValueError` that names the mismatch.
    """
    dims = weights.dims
    measured = asdict(measured_dims(weights.tensors, dims.n_audio_head, dims.n_text_head))
    for name, value in asdict(dims).items():
        if value != measured[name]:
            raise ValueError(f"the file gives {name} as {value!r}, but the tensors have {measured[name]}")
    if dims.n_vocab not in _VOCABULARIES:
        raise ValueError(f"a vocabulary of {dims.n_vocab} tokens is not one of Whisper's {_VOCABULARIES}")
    for state, heads in ((dims.n_audio_state, dims.n_audio_head), (dims.n_text_state, dims.n_text_head)):
        if type(heads) is not int or heads < 1 or state % heads:
            raise ValueError(f"{heads!r} heads do not divide a width of {state}")
    built = Whisper(dims)
    _check_shapes(built.state_dict(), weights.tensors)
    built.load_state_dict(dict(weights.tensors))
    if weights.alignment_heads is not None:
        _set_alignment_heads(built, weights.alignment_heads)
    return built


def _check_shapes(expected: Mapping[str, Tensor], actual: Mapping[str, Tensor]) -> None:
    if missing := sorted(expected.keys() - actual.keys()):
        raise ValueError(f"{len(missing)} tensors are missing, the first is {missing[0]}")
    if unknown := sorted(actual.keys() - expected.keys()):
        raise ValueError(f"{len(unknown)} tensors are not Whisper's, the first is {unknown[0]}")
    for name, tensor in expected.items():
        if actual[name].shape != tensor.shape:
            raise ValueError(f"{name} has the shape {tuple(actual[name].shape)}, not {tuple(tensor.shape)}")


def _set_alignment_heads(built: Whisper, heads: Sequence[Head]) -> None:
    """Set the decoder heads that follow the speech, as `Whisper.set_alignment_heads` does from its own table."""
    dims = built.dims
    chosen = torch.zeros((dims.n_text_layer, dims.n_text_head), dtype=torch.bool)
    for layer, head in heads:
        if not (0 <= layer < dims.n_text_layer and 0 <= head < dims.n_text_head):
            raise ValueError(f"the alignment head {head} of layer {layer} does not exist")
        chosen[layer, head] = True
    if not chosen.any():
        raise ValueError("the list of alignment heads is empty")
    built.register_buffer("alignment_heads", chosen.to_sparse(), persistent=False)


def _shape(tensors: Mapping[str, Tensor], name: str, rank: int) -> tuple[int, ...]:
    if name not in tensors:
        raise ValueError(f"it has no {name}")
    shape = tuple(tensors[name].shape)
    if len(shape) != rank:
        raise ValueError(f"{name} has the shape {shape}, not {rank} dimensions")
    return shape


def _layers(tensors: Mapping[str, Tensor], part: str) -> int:
    numbers = {int(match[2]) for name in tensors if (match := _BLOCK.match(name)) and match[1] == part}
    if numbers != set(range(len(numbers))) or not numbers:
        raise ValueError(f"the layers of the {part} are not numbered from 0 without a gap")
    return len(numbers)
