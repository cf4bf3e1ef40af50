from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from transcription_dagster.stack.leftovers import end_leftovers

#: Tests that share one stack: it is started once, so one process has to do them all.
ONE_STACK = "end_to_end/one_stack/"

#: Tests of stacks for the process that does the small tests afterwards.
THIRD = "end_to_end/test_up.py"


class FewStacksAtATime(LoadScopeScheduling):
    """Keeps the tests of a file in one process, those that share a stack, and most of those that have their own.

    With three processes two have stacks to the end, which wait a good deal, and the third does the small tests.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        if ONE_STACK in file:
            return ONE_STACK
        return "stacks" if "end_to_end/" in file and not file.endswith(THIRD) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return FewStacksAtATime(config, log)


def pytest_configure(config: pytest.Config) -> None:
    # Every stack has a home of its own, and executors that would each compile the same.
    if config.pluginmanager.hasplugin("cacheprovider"):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(config.cache.mkdir("numba")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the stacks first, since they take longest, then what waits for processes; small tests fill what is left."""
    items.sort(key=lambda item: (item.get_closest_marker("system") is None, "/stack/" not in item.nodeid))


@pytest.fixture
def home() -> Iterator[Path]:
    """A home outside of pytest's folders: those are closed to the user that Postgres runs as when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="transcription-test-"))
    yield folder
    end_leftovers(folder)
    shutil.rmtree(folder)
