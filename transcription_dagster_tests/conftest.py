from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_dagster.stack.leftovers import end_leftovers


@pytest.fixture
def home() -> Iterator[Path]:
    """A home outside of pytest's folders: those are closed to the user that Postgres runs as when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="transcription-test-"))
    yield folder
    end_leftovers(folder)
    shutil.rmtree(folder)
