"""Recognise the folder of a speech model by its files; imports no library."""

from __future__ import annotations

from pathlib import Path

#: CTranslate2's weights.
CTRANSLATE2_FILE = "model.bin"
#: Hugging Face's description of a model; the weights are next to it.
HUGGING_FACE_FILE = "config.json"


def is_model_path(path: Path) -> bool:
    """Return whether a path may be a model: a file, or a folder in CTranslate2's or Hugging Face's layout."""
    return path.is_file() or any((path / name).is_file() for name in (CTRANSLATE2_FILE, HUGGING_FACE_FILE))
