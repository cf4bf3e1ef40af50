"""A repeated launch gives one run, whatever the outcome of the first attempt."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from sqlalchemy import text

from transcription_dagster.dagster_api.values import LAUNCH_TAG
from transcription_dagster.pool.storage import PatientRunStorage, index_runs
from transcription_dagster_tests.postgres import cloned_database

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with cloned_database() as url:
        yield url


@pytest.fixture(autouse=True)
def no_runs(instance: DagsterInstance, database: str) -> None:
    instance.run_storage.wipe()
    index_runs(database)


def add(instance: DagsterInstance, launch: str, *, parent: str | None = None) -> DagsterRun:
    """Store what the web server stores for a launch."""
    tags = {LAUNCH_TAG: launch, "dagster/partition": "a"}
    return instance.run_storage.add_run(DagsterRun("job", tags=tags, parent_run_id=parent, root_run_id=parent))


def test_a_launch_gives_one_run_however_often_it_is_repeated(instance: DagsterInstance) -> None:
    with ThreadPoolExecutor(8) as threads:
        runs = [*threads.map(lambda _: add(instance, "first"), range(16))]
    assert len({run.run_id for run in runs}) == 1
    assert add(instance, "second").run_id != runs[0].run_id
    assert instance.get_runs_count() == 2


def test_a_repeated_launch_gives_its_run_as_it_is_now(instance: DagsterInstance) -> None:
    run = add(instance, "first")
    instance.report_run_failed(run)
    repeated = add(instance, "first")
    assert (repeated.run_id, repeated.status) == (run.run_id, DagsterRunStatus.FAILURE)


def test_retries_of_a_run_inherit_its_launch_and_are_runs_of_their_own(instance: DagsterInstance) -> None:
    run = add(instance, "first")
    retries = [add(instance, "first", parent=run.run_id) for _ in range(2)]
    assert len({run.run_id, *(retry.run_id for retry in retries)}) == 3
    assert add(instance, "first").run_id == run.run_id


def test_runs_without_a_launch_are_all_stored(instance: DagsterInstance) -> None:
    for _ in range(2):
        instance.run_storage.add_run(DagsterRun("job"))
    assert instance.get_runs_count() == 2


def test_a_run_whose_tags_were_lost_gets_them_when_it_is_stored_again(instance: DagsterInstance) -> None:
    storage = instance.run_storage
    assert isinstance(storage, PatientRunStorage)
    run = DagsterRun("job", tags={"dagster/partition": "a"})
    storage.add_run(run)
    with storage.connect() as connection:
        connection.execute(text("DELETE FROM run_tags"))
    assert storage.add_run(run).run_id == run.run_id
    assert [tagged.run_id for tagged in storage.get_runs(RunsFilter(tags={"dagster/partition": "a"}))] == [run.run_id]
