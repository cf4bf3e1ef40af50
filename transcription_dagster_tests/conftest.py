from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from transcription_dagster.stack.leftovers import end_leftovers


class OneForTheStacks(LoadScopeScheduling):
    """Keeps the tests of a file in one process, and all that start whole stacks: two at a time are too much."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return "stacks" if "end_to_end" in file else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return OneForTheStacks(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the stacks first: when processes share the tests, they take longest."""
    items.sort(key=lambda item: item.get_closest_marker("system") is None)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home outside of pytest's folders: those are closed to the user that Postgres runs as when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="transcription-test-"))
    yield folder
    end_leftovers(folder)
    shutil.rmtree(folder)
