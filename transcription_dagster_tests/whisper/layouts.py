"""Models written in the layouts of other programs and opened from them, for the readers' tests."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from whisper.model import ModelDimensions, Whisper

from transcription_dagster.whisper.models.checkpoints import open_model

#: The smallest Whisper model that its tokenizer supports.
SMALL = ModelDimensions(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=8,
    n_audio_head=2,
    n_audio_layer=2,
    n_vocab=51865,
    n_text_ctx=448,
    n_text_state=8,
    n_text_head=4,
    n_text_layer=3,
)

_TYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)


def small_model() -> Whisper:
    """Return a Whisper model with random weights in all tensors."""
    torch.manual_seed(1)
    model = Whisper(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def opened(path: Path) -> Whisper:
    """Return the model of a folder, opened as the program opens it."""
    return open_model(str(path), path / "models", "cpu")


def alignment_heads(model: Whisper) -> list[list[int]]:
    """Return the layer and number of each head that gives word times."""
    sparse: Any = model.alignment_heads
    return sparse.coalesce().indices().T.tolist()


def write_ctranslate2(
    model: Whisper, folder: Path, *, dtype: torch.dtype = torch.float32, quantized: bool = False
) -> Path:
    """Write a model as CTranslate2's converter does for Whisper."""
    folder.mkdir(exist_ok=True)
    dims, tensors = model.dims, dict(model.state_dict())
    variables: dict[str, Tensor] = {
        "encoder/num_heads": torch.tensor(dims.n_audio_head, dtype=torch.int16),
        "decoder/num_heads": torch.tensor(dims.n_text_head, dtype=torch.int16),
        "encoder/position_encodings/encodings": tensors["encoder.positional_embedding"],
        "decoder/position_encodings/encodings": tensors["decoder.positional_embedding"],
        "decoder/embeddings/weight": tensors["decoder.token_embedding.weight"],
    }
    for part, norm, layers in (("encoder", "ln_post", dims.n_audio_layer), ("decoder", "ln", dims.n_text_layer)):
        _norm(variables, f"{part}/layer_norm", tensors, f"{part}.{norm}")
        for number in range(layers):
            theirs, ours = f"{part}/layer_{number}", f"{part}.blocks.{number}"
            _attention(variables, f"{theirs}/self_attention", tensors, f"{ours}.attn", [["query", "key", "value"]])
            if part == "decoder":
                crossed = [["query"], ["key", "value"]]
                _attention(variables, f"{theirs}/attention", tensors, f"{ours}.cross_attn", crossed)
            _norm(variables, f"{theirs}/ffn/layer_norm", tensors, f"{ours}.mlp_ln")
            for place, layer in enumerate((0, 2)):
                variables[f"{theirs}/ffn/linear_{place}/weight"] = tensors[f"{ours}.mlp.{layer}.weight"]
                variables[f"{theirs}/ffn/linear_{place}/bias"] = tensors[f"{ours}.mlp.{layer}.bias"]
    for number in (1, 2):
        variables[f"encoder/conv{number}/weight"] = tensors[f"encoder.conv{number}.weight"]
        variables[f"encoder/conv{number}/bias"] = tensors[f"encoder.conv{number}.bias"]
    stored = {name: tensor if tensor.dim() == 0 else tensor.to(dtype) for name, tensor in variables.items()}
    if quantized:
        stored = _quantized(stored)
    aliases = {"decoder/projection/weight": "decoder/embeddings/weight"}
    (folder / "model.bin").write_bytes(file_of(stored, aliases))
    (folder / "config.json").write_text(json.dumps({"alignment_heads": [[1, 0], [2, 3]]}))
    return folder


def file_of(
    variables: dict[str, Tensor], aliases: dict[str, str], *, version: int = 6, specification: str = "WhisperSpec"
) -> bytes:
    """Return the bytes of a `model.bin`."""
    parts = [struct.pack("<I", version), _string(specification), struct.pack("<II", 3, len(variables))]
    for name, tensor in variables.items():
        data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        parts += [_string(name), struct.pack("<B", tensor.dim()), *(struct.pack("<I", size) for size in tensor.shape)]
        parts += [struct.pack("<BI", _TYPES.index(tensor.dtype), len(data)), data]
    parts.append(struct.pack("<I", len(aliases)))
    parts += [_string(text) for pair in aliases.items() for text in pair]
    return b"".join(parts)


def _string(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def _norm(variables: dict[str, Tensor], theirs: str, tensors: dict[str, Tensor], ours: str) -> None:
    variables[f"{theirs}/gamma"], variables[f"{theirs}/beta"] = tensors[f"{ours}.weight"], tensors[f"{ours}.bias"]


def _attention(
    variables: dict[str, Tensor], theirs: str, tensors: dict[str, Tensor], ours: str, fused: list[list[str]]
) -> None:
    _norm(variables, f"{theirs}/layer_norm", tensors, f"{ours}_ln")
    for number, names in enumerate([*fused, ["out"]]):
        weights = [tensors[f"{ours}.{name}.weight"] for name in names]
        biases = [tensors.get(f"{ours}.{name}.bias", torch.zeros(weights[0].shape[0])) for name in names]
        variables[f"{theirs}/linear_{number}/weight"] = torch.cat(weights)
        variables[f"{theirs}/linear_{number}/bias"] = torch.cat(biases)


def _quantized(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return matrices as bytes with a scale per row, as `--quantization int8` does."""
    variables: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if tensor.dim() == 2 and name.endswith("/weight"):
            scale = 127 / tensor.abs().amax(dim=1)
            variables[name] = torch.round(tensor * scale[:, None]).to(torch.int8)
            variables[f"{name}_scale"] = scale
        else:
            variables[name] = tensor
    return variables
