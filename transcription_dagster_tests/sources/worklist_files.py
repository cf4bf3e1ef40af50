"""Worklist files and their problems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from transcription_dagster.errors import InvalidWorklist
from transcription_dagster.sources.worklists import load

ONE = "919f49d0-ef35-5e93-b564-e948b9d75f83"

TWO = "fb4024f4-a2d2-5e85-bbe5-f84f01e07dc0"

THREE = "1ecda57a-ca74-504e-a10d-5f46e86c70ea"

#: Any value that JSON can hold.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def saved(folder: Path, content: object) -> Path:
    path = folder / "worklist.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def problems(folder: Path, content: object) -> list[str]:
    """Return the worklist's problems, without the file name that begins every line."""
    path = saved(folder, content)
    with pytest.raises(InvalidWorklist) as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def only(folder: Path, **values: object) -> Any:
    """Return the entry of a worklist with one recording and these values."""
    (entry,) = load(saved(folder, [{"uuid": ONE, **values}])).entries
    return entry
