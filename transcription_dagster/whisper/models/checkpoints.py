"""Open Whisper models, in any layout, as openai-whisper's network."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
import whisper
from torch.nn import Conv1d, Embedding, Linear
from whisper.model import ModelDimensions, Whisper

from transcription_dagster.errors import UnknownModel
from transcription_dagster.whisper.devices import device_error
from transcription_dagster.whisper.models.ctranslate2 import read_ctranslate2
from transcription_dagster.whisper.models.files import CTRANSLATE2_FILE, fetch_model, known_models
from transcription_dagster.whisper.models.hugging_face import read_hugging_face
from transcription_dagster.whisper.models.weights import Weights, network

#: Errors of torch and of the readers of other layouts for files in none of their formats. torch's unpickler raises
#: whatever the bytes lead to.
_UNREADABLE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    LookupError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)


def open_model(model: str, folder: Path, device: str) -> Whisper:
    """Load a model given by name or path onto `device`.

    The path is an openai-whisper checkpoint, a folder of safetensors (Hugging Face) or a folder of CTranslate2. A
    checkpoint may contain only tensors and plain values: `weights_only` is always set, so that no file runs code.
    Raises `UnknownModel` if it is not a Whisper model, and what `fetch_model` raises.
    """
    path = fetch_model(model, folder)
    try:
        built = network(_weights(path))
    except _UNREADABLE as error:
        if device_error(error) is not None:
            raise
        raise UnknownModel(f"{path} is not a Whisper checkpoint: {_first_line(error)}") from error
    if model in known_models():
        built.set_alignment_heads(whisper._ALIGNMENT_HEADS[model])  # noqa: SLF001
    # Halved before it is moved: a GPU would keep the memory that twice as many bytes took for a moment.
    return (in_half_precision(built) if device.startswith("cuda") else built).to(device).eval()


def in_half_precision(model: Whisper) -> Whisper:
    """Convert the weights once that Whisper would convert at every call, and return the model."""
    for module in model.modules():
        if isinstance(module, (Linear, Conv1d, Embedding)):
            module.half()
    return model


def _weights(path: Path) -> Weights:
    if (path / CTRANSLATE2_FILE).is_file():
        return read_ctranslate2(path)
    if path.is_dir():
        return read_hugging_face(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict) or not content.keys() >= {"dims", "model_state_dict"}:
        raise ValueError("it does not hold dims and model_state_dict")
    return Weights(ModelDimensions(**content["dims"]), content["model_state_dict"])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
