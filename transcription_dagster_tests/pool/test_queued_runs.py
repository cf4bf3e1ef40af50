"""A poll of the run queue launches the same runs as before, and reads no more rows the longer the queue is."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster_postgres.run_storage import PostgresRunStorage

from transcription_dagster.pool.run_coordinator import queue_limits
from transcription_dagster.pool.status import PoolStatus
from transcription_dagster.pool.storage import FRONT, FRONT_RUNS, PatientRunStorage, index_runs
from transcription_dagster_tests.pool.test_run_coordinator import worker
from transcription_dagster_tests.postgres import cloned_database

pytestmark = pytest.mark.slow

ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "repository"), "job")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with cloned_database() as url:
        yield url


@pytest.fixture(autouse=True)
def empty_queue(instance: DagsterInstance, database: str) -> None:
    instance.run_storage.wipe()
    index_runs(database)


def add(instance: DagsterInstance, status: DagsterRunStatus = DagsterRunStatus.QUEUED, **tags: Any) -> str:
    named = {
        name.replace("gpu", "transcription/gpu").replace("priority", "dagster/priority"): tags[name] for name in tags
    }
    return instance.add_run(DagsterRun(job_name="job", status=status, tags=named, remote_job_origin=ORIGIN)).run_id


def add_many(url: str, like: str, count: int) -> None:
    """Add copies of a waiting run with their own ids."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO runs (run_id, pipeline_name, status, run_body, create_timestamp, update_timestamp)"
            " SELECT 'copy-' || n, pipeline_name, status, replace(run_body, run_id, 'copy-' || n), create_timestamp,"
            " update_timestamp FROM runs, generate_series(1, %s) n WHERE run_id = %s",
            (count, like),
        )
        connection.execute("ANALYZE runs")


def look(instance: DagsterInstance, executors: list[str], run_workers: int) -> list[str]:
    """Return the runs that the daemon would launch now, in its order."""
    pool = PoolStatus(
        (*(worker("gpu", device=device) for device in executors), *(worker("run") for _ in range(run_workers))), {}
    )
    # Dagster's own class resolves its types only in its own modules.
    limits: Any = SimpleNamespace(
        run_queue_config=queue_limits(pool, lambda _: 3), pool_config=SimpleNamespace(pool_granularity=None)
    )
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    return [run.run_id for run in daemon._get_runs_to_dequeue(instance, limits, None)]


@pytest.mark.parametrize("seed", range(4))
def test_a_poll_of_the_front_launches_the_same_runs_as_of_the_whole_queue(
    instance: DagsterInstance, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    for _ in range(130):
        tags = {}
        if gpu := chance.choice([None, "any", "any", "any", "0", "1", "9"]):
            tags["gpu"] = gpu
        if priority := chance.choice([None, None, None, "5", "-5", "+7", "none", "100"]):
            tags["priority"] = priority
        add(instance, chance.choice([DagsterRunStatus.QUEUED] * 8 + [DagsterRunStatus.SUCCESS]), **tags)
    add(instance, DagsterRunStatus.STARTED, gpu="any")
    executors, run_workers = chance.choice([(["cuda:0", "cuda:1"], 12), (["cuda:0"], 40), ([], 7), (["cpu:0"], 1)])
    launched = look(instance, executors, run_workers)
    monkeypatch.setattr(PatientRunStorage, "get_runs", PostgresRunStorage.get_runs)
    assert launched == look(instance, executors, run_workers)
    assert len(launched) > 0 or run_workers == 1


def test_runs_that_cannot_be_launched_do_not_block_others(instance: DagsterInstance, database: str) -> None:
    """There are more pinned runs than one poll reads, with a priority, for a missing GPU."""
    add_many(database, add(instance, gpu="7", priority="9"), 3 * FRONT_RUNS)
    anywhere, no_gpu = add(instance, gpu="any"), add(instance)
    assert look(instance, ["cuda:0"], 5) == [anywhere, no_gpu]


def test_a_run_tagged_after_its_creation_is_found_by_its_tag(instance: DagsterInstance) -> None:
    run = add(instance)
    instance.add_run_tags(run, {"transcription/gpu": "any"})
    assert look(instance, [], 5) == []
    assert look(instance, ["cuda:0"], 5) == [run]


@pytest.mark.parametrize("tags", [{"gpu": "any"}, {"gpu": "any", "priority": "-1"}, {}])
def test_a_poll_reads_the_same_number_of_rows_however_many_runs_wait(
    instance: DagsterInstance, database: str, tags: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    rows_to_runs = PatientRunStorage._rows_to_runs

    def counted(self: PatientRunStorage, rows: Any) -> Any:
        counts.append(len(rows))
        return rows_to_runs(self, rows)

    monkeypatch.setattr(PatientRunStorage, "_rows_to_runs", counted)
    first = add(instance, **tags)
    add_many(database, first, 5_000)
    assert look(instance, ["cuda:0"], 3)[0] == first
    assert sum(counts) <= FRONT_RUNS
    assert rows_touched(database) <= 3 * FRONT_RUNS


def rows_touched(url: str) -> int:
    """Return the number of rows that all steps of the statement's plan returned or discarded."""
    with psycopg.connect(url) as connection:
        row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {FRONT}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    plan = row[0] if isinstance(row[0], list) else json.loads(row[0])
    return max(_rows(step) for step in _steps(plan[0]["Plan"]))


def _steps(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield step
    for below in step.get("Plans", []):
        yield from _steps(below)


def _rows(step: dict[str, Any]) -> int:
    return int((step["Actual Rows"] + step.get("Rows Removed by Filter", 0)) * step["Actual Loops"])
