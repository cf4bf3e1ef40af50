from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_dagster.stack.leftovers import end_leftovers


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let processes share the tests: the tests of a file stay together, and only one of the processes runs stacks.

    Stacks come first, for they take longest.
    """
    items.sort(key=lambda item: item.get_closest_marker("system") is None)
    for item in items:
        group = "system" if item.get_closest_marker("system") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def home() -> Iterator[Path]:
    """A home outside of pytest's folders: those are closed to the user that Postgres runs as when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="transcription-test-"))
    yield folder
    end_leftovers(folder)
    shutil.rmtree(folder)
