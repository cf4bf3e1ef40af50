from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from transcription_dagster.stack.leftovers import end_leftovers

#: Tests of whole stacks that are kept for the process that has done all the small tests.
LAST = tuple(f"end_to_end/test_{name}.py" for name in ("demo", "pool", "s3", "up"))


class StacksTogether(LoadScopeScheduling):
    """Keeps the tests of a file in one process, and those of whole stacks: more than two at a time are too much."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        if file.endswith(LAST):
            return "the last stacks"
        return "stacks" if "end_to_end" in file else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return StacksTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the stacks first, since they take longest, but for the last."""

    def place(item: pytest.Item) -> int:
        if item.nodeid.split("::")[0].endswith(LAST):
            return 2
        return 0 if item.get_closest_marker("system") else 1

    items.sort(key=place)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home outside of pytest's folders: those are closed to the user that Postgres runs as when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="transcription-test-"))
    yield folder
    end_leftovers(folder)
    shutil.rmtree(folder)
