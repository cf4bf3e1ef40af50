"""Write Whisper models in CTranslate2's layout: a folder with `model.bin`, `config.json` and `vocabulary.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ctranslate2.converters.utils import fuse_linear
from ctranslate2.specs.common_spec import LinearSpec
from ctranslate2.specs.whisper_spec import WhisperSpec
from torch import Tensor
from whisper.model import Whisper
from whisper.tokenizer import Tokenizer

from transcription_dagster.whisper.models.files import CTRANSLATE2_FILE

#: Quantization of the weights in the file; CTranslate2 quantizes further when it loads them as int8.
_STORED = "float16"


def write_model(model: Whisper, tokenizer: Tokenizer, folder: Path, *, weights: Path | None = None) -> None:
    """Write a model into an empty folder. `weights` is its `model.bin` if there is one; None converts the weights."""
    vocabulary, config = _vocabulary(tokenizer, model.dims.n_vocab), _config(model, tokenizer)
    if weights is None:
        specification = _specification(model)
        specification.register_vocabulary(vocabulary)
        specification.validate()
        specification.optimize(quantization=_STORED)
        specification.save(str(folder))
    else:
        (folder / CTRANSLATE2_FILE).symlink_to(weights.absolute())
        (folder / "vocabulary.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _config(model: Whisper, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return what CTranslate2 cannot derive from the weights; tokens to suppress are passed to `generate`."""
    return {
        "suppress_ids": [],
        "suppress_ids_begin": [*tokenizer.encode(" "), tokenizer.eot],
        "lang_ids": list(tokenizer.all_language_tokens) if model.is_multilingual else [],
        "alignment_heads": model.alignment_heads.indices().T.tolist(),  # type: ignore[operator]  # a buffer
    }


def _vocabulary(tokenizer: Tokenizer, size: int) -> list[str]:
    """Return a name for every token. CTranslate2 looks up special tokens by name; others only need distinct names."""
    special = {number: name for name, number in tokenizer.special_tokens.items()}
    encoding = tokenizer.encoding
    return [
        special[number] if number in special else encoding.decode_single_token_bytes(number).decode("latin-1")
        for number in range(size)
    ]


def _specification(model: Whisper) -> WhisperSpec:
    dims, tensors = model.dims, model.state_dict()
    spec = WhisperSpec(dims.n_audio_layer, dims.n_audio_head, dims.n_text_layer, dims.n_text_head)
    for number in (1, 2):
        _linear(getattr(spec.encoder, f"conv{number}"), tensors, f"encoder.conv{number}")
    spec.encoder.position_encodings.encodings = tensors["encoder.positional_embedding"].numpy()
    _norm(spec.encoder.layer_norm, tensors, "encoder.ln_post")
    spec.decoder.embeddings.weight = tensors["decoder.token_embedding.weight"].numpy()
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    spec.decoder.position_encodings.encodings = tensors["decoder.positional_embedding"].numpy()
    _norm(spec.decoder.layer_norm, tensors, "decoder.ln")
    for part in ("encoder", "decoder"):
        for number, layer in enumerate(getattr(spec, part).layer):
            _layer(layer, tensors, f"{part}.blocks.{number}")
    return spec


def _layer(layer: Any, tensors: dict[str, Tensor], name: str) -> None:
    _attention(layer.self_attention, tensors, f"{name}.attn", ["query", "key", "value"])
    if hasattr(layer, "attention"):
        # Queries come from the text, keys and values from the audio, so there are two matrices.
        _attention(layer.attention, tensors, f"{name}.cross_attn", ["query"], ["key", "value"])
    _norm(layer.ffn.layer_norm, tensors, f"{name}.mlp_ln")
    _linear(layer.ffn.linear_0, tensors, f"{name}.mlp.0")
    _linear(layer.ffn.linear_1, tensors, f"{name}.mlp.2")


def _attention(spec: Any, tensors: dict[str, Tensor], name: str, *fused: list[str]) -> None:
    """Set an attention's matrices, joining those that CTranslate2 stores in one."""
    _norm(spec.layer_norm, tensors, f"{name}_ln")
    for target, names in zip(spec.linear, [*fused, ["out"]], strict=True):
        parts = [LinearSpec() for _ in names]
        for part, own in zip(parts, names, strict=True):
            _linear(part, tensors, f"{name}.{own}")
        fuse_linear(target, parts)


def _linear(spec: Any, tensors: dict[str, Tensor], name: str) -> None:
    spec.weight = tensors[f"{name}.weight"].numpy()
    if f"{name}.bias" in tensors:
        spec.bias = tensors[f"{name}.bias"].numpy()


def _norm(spec: Any, tensors: dict[str, Tensor], name: str) -> None:
    spec.gamma = tensors[f"{name}.weight"].numpy()
    spec.beta = tensors[f"{name}.bias"].numpy()
