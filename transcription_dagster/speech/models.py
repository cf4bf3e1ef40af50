"""Finding, downloading and opening Whisper checkpoints."""

from __future__ import annotations

import pickle
import urllib.error
from http.client import HTTPException
from pathlib import Path

import torch
import whisper
from filelock import FileLock
from whisper.model import ModelDimensions, Whisper

from transcription_dagster.errors import ModelUnavailable, UnknownModel
from transcription_dagster.speech.device_errors import device_error

#: What torch raises for a file that is none of its own: its unpickler runs into whatever the bytes mean.
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
    """Names that `checkpoint` can download."""
    return tuple(whisper.available_models())


def downloaded_models(folder: Path) -> dict[str, Path]:
    """Known names whose checkpoint lies in `folder`, each with its file."""
    files = {name: folder / Path(whisper._MODELS[name]).name for name in known_models()}
    return {name: file for name, file in files.items() if file.is_file()}


def checkpoint(model: str, folder: Path) -> Path:
    """Return the file of a model given by name or path, downloading a known name into `folder` if need be.

    One process downloads at a time; the others wait and find the file. A known name's file is checked against its
    published SHA-256. Raises `UnknownModel`, or `ModelUnavailable` when the download fails.
    """
    if model in known_models():
        return _download(model, folder)
    if Path(model).is_file():
        return Path(model)
    raise UnknownModel(
        f"{model!r} is neither a checkpoint file nor a known model; known models are {', '.join(known_models())}"
    )


def _download(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        try:
            return Path(str(whisper._download(whisper._MODELS[name], str(folder), in_memory=False)))
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            raise ModelUnavailable(f"the model {name} could not be downloaded: {error}") from error
        except RuntimeError as error:
            raise ModelUnavailable(f"the model {name} was downloaded damaged: {error}") from error


def open_model(model: str, folder: Path, device: str) -> Whisper:
    """Load a model given by name or path onto `device`.

    The file may hold tensors and plain values only: `weights_only` is always set, so that no checkpoint runs code.
    Raises `UnknownModel` for a file that is no Whisper checkpoint, and what `checkpoint` raises.
    """
    file = checkpoint(model, folder)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        network = Whisper(ModelDimensions(**content["dims"]))
        network.load_state_dict(content["model_state_dict"])
    except _UNREADABLE as error:
        if isinstance(error, RuntimeError) and device_error(error) is not None:
            raise
        raise UnknownModel(f"{file} is not a Whisper checkpoint: {_first_line(error)}") from error
    if model in known_models():
        network.set_alignment_heads(whisper._ALIGNMENT_HEADS[model])
    return network.to(device).eval()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
