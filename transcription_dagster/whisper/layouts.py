"""By which files a folder is known as a speech model; free of any library."""

from __future__ import annotations

from pathlib import Path

#: CTranslate2's weights.
CTRANSLATE2_FILE = "model.bin"
#: Hugging Face's description of a model; the weights lie beside it.
HUGGING_FACE_FILE = "config.json"


def is_model_path(path: Path) -> bool:
    """Whether this may be a model: a file, or a folder in CTranslate2's or Hugging Face's layout."""
    return path.is_file() or any((path / name).is_file() for name in (CTRANSLATE2_FILE, HUGGING_FACE_FILE))
