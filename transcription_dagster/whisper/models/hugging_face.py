"""Read Whisper models in Hugging Face's layout, as fine-tuning with transformers writes it: a folder of safetensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from whisper.model import ModelDimensions

from transcription_dagster.whisper.models.files import HUGGING_FACE_FILE
from transcription_dagster.whisper.models.weights import Weights, read_alignment_heads, read_json_object

_WEIGHTS_FILE = "model.safetensors"
#: Gives the file of each tensor if the weights are split over several files.
_INDEX_FILE = "model.safetensors.index.json"

#: Whisper's dimensions by their names in config.json.
_DIMENSIONS = {
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions",
    "n_text_state": "d_model",
    "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers",
}

#: transformers' names of the parts of a model, in the order of replacement, with Whisper's names.
_RENAMED = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^model\.", ""),
        (r"^encoder\.embed_positions\.weight$", "encoder.positional_embedding"),
        (r"^decoder\.embed_positions\.weight$", "decoder.positional_embedding"),
        (r"^decoder\.embed_tokens\.", "decoder.token_embedding."),
        (r"^encoder\.layer_norm\.", "encoder.ln_post."),
        (r"^decoder\.layer_norm\.", "decoder.ln."),
        (r"\.layers\.", ".blocks."),
        (r"\.self_attn_layer_norm\.", ".attn_ln."),
        (r"\.encoder_attn_layer_norm\.", ".cross_attn_ln."),
        (r"\.final_layer_norm\.", ".mlp_ln."),
        (r"\.self_attn\.", ".attn."),
        (r"\.encoder_attn\.", ".cross_attn."),
        (r"\.q_proj\.", ".query."),
        (r"\.k_proj\.", ".key."),
        (r"\.v_proj\.", ".value."),
        (r"\.out_proj\.", ".out."),
        (r"\.fc1\.", ".mlp.0."),
        (r"\.fc2\.", ".mlp.2."),
    )
)

_OUTPUT = "proj_out.weight"
_TOKENS = "decoder.token_embedding.weight"


def read_hugging_face(folder: Path) -> Weights:
    """Read the model in a folder. Raises `ValueError` naming the deviation from transformers' format, or `OSError`."""
    config = read_json_object(folder / HUGGING_FACE_FILE)
    if config.get("model_type") != "whisper":
        raise ValueError(f"{HUGGING_FACE_FILE} describes a {config.get('model_type')!r}, not a Whisper model")
    dims = ModelDimensions(**{ours: _positive(config, theirs) for ours, theirs in _DIMENSIONS.items()})
    try:
        tensors = {_renamed(name): tensor for name, tensor in _tensors(folder)}
    except SafetensorError as error:
        raise ValueError(f"the safetensors cannot be read: {error}") from error
    output = tensors.pop(_OUTPUT, None)
    if output is not None and not (_TOKENS in tensors and torch.equal(output, tensors[_TOKENS])):
        raise ValueError(f"{_OUTPUT} differs from the embedding of the tokens, which Whisper uses for both")
    return Weights(dims, tensors, read_alignment_heads(folder / "generation_config.json"))


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    for name in _weight_files(folder):
        with safe_open(folder / name, framework="pt", device="cpu") as file:
            for key in file.keys():  # noqa: SIM118  not a mapping
                yield key, file.get_tensor(key)


def _weight_files(folder: Path) -> Iterable[str]:
    if (folder / _INDEX_FILE).is_file():
        names = sorted({str(name) for name in read_json_object(folder / _INDEX_FILE).get("weight_map", {}).values()})
        for name in names:
            if Path(name).name != name:
                raise ValueError(f"{_INDEX_FILE} names {name!r}, which is not a file of this folder")
        return names
    if (folder / _WEIGHTS_FILE).is_file():
        return [_WEIGHTS_FILE]
    if (folder / "adapter_config.json").is_file():
        raise ValueError("it is an adapter alone: merge it into its model (merge_and_unload) and save that")
    raise ValueError(f"it has no {_WEIGHTS_FILE}; save the model with safe_serialization=True")


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return name


def _positive(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if type(value) is not int or value < 1:
        raise ValueError(f"{HUGGING_FACE_FILE}: {name} is {value!r}, not a positive whole number")
    return value
