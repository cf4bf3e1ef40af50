from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from transcription_dagster.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Return a function that creates settings independent of the environment and `.env`."""
    monkeypatch.chdir(tmp_path)
    return lambda **values: Settings(home=tmp_path / "home", **values)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Provide a folder of recordings beside a worklist."""
    (tmp_path / "a.wav").write_bytes(b"")
    (tmp_path / "b c#?.mp3").write_bytes(b"")
    (tmp_path / "recordings").mkdir()
    return tmp_path
