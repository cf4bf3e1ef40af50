from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from transcription_dagster_tests.isolation import isolate

#: Before anything of the program is imported, here or in the conftest of a folder.
HOME = isolate()
# A fifth of the time in which the tests are imported goes into looking for garbage, and there is none.
gc.disable()

from transcription_dagster.stack.orphan_processes import end_orphan_processes  # noqa: E402
from transcription_dagster_tests.postgres import cloned_database, database_url, engine  # noqa: E402
from transcription_dagster_tests.s3_server import AwsServer, aws_environment, aws_server  # noqa: E402

#: Fixtures for the tests of every room.
__all__ = ["database_url", "engine"]


def pytest_configure(config: pytest.Config) -> None:
    # How long an example takes, and how long its making, says more of the machine than of the program.
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("untimed")
    # Every stack has a home of its own, and executors that would each compile the same.
    if config.pluginmanager.hasplugin("cacheprovider"):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(config.cache.mkdir("numba")))
    # The caller's `.env` is in the folder that pytest was started in. What distributes the tests runs none, and its
    # workers read the paths of its arguments from there.
    distributes = config.getoption("dist") != "no" and config.getoption("tx")
    if not distributes:
        os.chdir(HOME)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that take longest first, so that small ones fill what is left: the stacks, their parts, the slow.

    Tests that share a fixture of their module are a group, too (`xdist_group`): several processes would each make it.
    """
    items.sort(key=lambda item: (not _is(item, "system"), "/stack/" not in item.nodeid, not _is(item, "slow")))
    for item in items:
        if not _is(item, "xdist_group") and _shares_with_its_module(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run without groups, where each process would start every stack; go on collecting garbage."""
    groups = getattr(session.config.option, "loadgroup", False)
    if groups and any(_is(item, "xdist_group") and "@" not in item.nodeid for item in session.items):
        raise pytest.UsageError("pytest-xdist does not group tests under this pytest; install as constraints.txt says")
    # What was imported stays: it is not looked through again.
    gc.freeze()
    gc.enable()


def _is(item: pytest.Item, marker: str) -> bool:
    return item.get_closest_marker(marker) is not None


def _shares_with_its_module(item: pytest.Item) -> bool:
    definitions = item.session._fixturemanager.getfixturedefs
    names = getattr(item, "fixturenames", ())
    return any(found.scope == "module" for name in names for found in definitions(name, item) or ())


@pytest.fixture
def queues() -> Iterator[str]:
    """URL of a fresh database with the queues' tables."""
    with cloned_database() as url:
        yield url


@pytest.fixture(scope="session")
def running_aws() -> Iterator[AwsServer]:
    with aws_server() as server:
        yield server


@pytest.fixture
def aws(running_aws: AwsServer) -> Iterator[AwsServer]:
    """An empty AWS that boto3 and obstore find by themselves."""
    running_aws.reset()
    with aws_environment(running_aws):
        yield running_aws


@pytest.fixture
def home() -> Iterator[Path]:
    """A home outside of pytest's folders: those are closed to the user that Postgres runs as when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="transcription-test-"))
    yield folder
    end_orphan_processes(folder)
    shutil.rmtree(folder)
