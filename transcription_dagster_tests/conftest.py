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

#: Before any import of the program, here or in a folder's conftest.
HOME = isolate()
# Garbage collection takes a fifth of the tests' import time and finds nothing.
gc.disable()

from transcription_dagster.stack.supervisor import end_orphan_processes  # noqa: E402
from transcription_dagster_tests.postgres import cloned_database, database_url, engine  # noqa: E402
from transcription_dagster_tests.s3_server import AwsServer, aws_environment, aws_server  # noqa: E402

#: Groups of tests that start a stack, the longest first. Others follow in the order of their files.
LONGEST_GROUPS = ("faults on one stack", "one stack", "stops", "one database", "up with S3", "demo")

#: Fixtures for all test folders.
__all__ = ["database_url", "engine"]


def pytest_configure(config: pytest.Config) -> None:
    # The durations of an example and of its generation depend on the machine more than on the program.
    slow = [hypothesis.HealthCheck.too_slow]
    # Every run tries the same examples, so that none fails by chance; the profile "search" tries others.
    hypothesis.settings.register_profile("same", deadline=None, suppress_health_check=slow, derandomize=True)
    hypothesis.settings.register_profile("search", deadline=None, suppress_health_check=slow, max_examples=2000)
    hypothesis.settings.load_profile("same")
    # Every stack has its own home, and each of its executors would compile the same code.
    if config.pluginmanager.hasplugin("cacheprovider"):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(config.cache.mkdir("numba")))


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Leave pytest's start folder, which contains the caller's `.env`, once pytest-cov has read its settings there."""
    # The process that distributes tests runs none, and its workers read relative paths there.
    distributes = session.config.getoption("dist") != "no" and session.config.getoption("tx")
    if not distributes:
        os.chdir(HOME)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first, so that short ones fill the gaps: stacks, models, other slow tests, the rest.

    Models come second because they keep the cores busy while tests of stacks wait.

    Tests that share a fixture of their module form a group (`xdist_group`), because each process would create the
    fixture.
    """

    def order(item: pytest.Item) -> tuple[bool, int, bool, bool]:
        return (not _is(item, "system"), _group_order(item), "/whisper/" not in item.nodeid, not _is(item, "slow"))

    items.sort(key=order)
    for item in items:
        if not _is(item, "xdist_group") and _shares_with_its_module(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run without groups, where each process would start every stack; then resume garbage collection."""
    groups = getattr(session.config.option, "loadgroup", False)
    if groups and any(_is(item, "xdist_group") and "@" not in item.nodeid for item in session.items):
        raise pytest.UsageError("pytest-xdist does not group tests under this pytest; install as constraints.txt says")
    # Imported objects stay alive, so they are excluded from garbage collection.
    gc.freeze()
    gc.enable()


def _is(item: pytest.Item, marker: str) -> bool:
    return item.get_closest_marker(marker) is not None


def _group_order(item: pytest.Item) -> int:
    marker = item.get_closest_marker("xdist_group")
    group = marker.args[0] if marker else None
    return LONGEST_GROUPS.index(group) if group in LONGEST_GROUPS else len(LONGEST_GROUPS)


def _shares_with_its_module(item: pytest.Item) -> bool:
    definitions = item.session._fixturemanager.getfixturedefs
    names = getattr(item, "fixturenames", ())
    return any(definition.scope == "module" for name in names for definition in definitions(name, item) or ())


@pytest.fixture
def queues() -> Iterator[str]:
    """Return the URL of a fresh database with the queues' tables."""
    with cloned_database() as url:
        yield url


@pytest.fixture(scope="session")
def running_aws() -> Iterator[AwsServer]:
    with aws_server() as server:
        yield server


@pytest.fixture
def aws(running_aws: AwsServer) -> Iterator[AwsServer]:
    """Provide an empty AWS that boto3 and obstore find by themselves."""
    running_aws.reset()
    with aws_environment(running_aws):
        yield running_aws


@pytest.fixture
def home() -> Iterator[Path]:
    """Provide a home outside of pytest's folders, which Postgres's user cannot reach if the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="transcription-test-"))
    yield folder
    end_orphan_processes(folder)
    shutil.rmtree(folder)
