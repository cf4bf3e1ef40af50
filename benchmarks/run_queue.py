"""The cost of one poll of the run queue by Dagster's daemon, by the number of waiting runs.

    python -m benchmarks.run_queue [--waiting 100 1000 10000 50000]

The runs wait in a real Postgres, nine in ten for any GPU and one in a hundred with a priority. The daemon's own code
polls the queue through our storage, which returns only the front of the queue, and through Dagster's, which returns all
of it. Times are median wall-clock seconds per poll, with 3 executors and 9 run workers alive and no run in progress.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import psycopg
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster_postgres.run_storage import PostgresRunStorage
from rich.console import Console
from rich.table import Table

from benchmarks.arguments import argument_parser
from transcription_dagster.database.connection import upgrade_database
from transcription_dagster.pool.run_coordinator import GPU_TAG
from transcription_dagster.pool.storage import PatientRunStorage, index_runs
from transcription_dagster.settings import Settings
from transcription_dagster.stack.home import dagster_home, write_dagster_files
from transcription_dagster.stack.postgres import embedded_postgres

LIMITS: Any = SimpleNamespace(
    max_concurrent_runs=9,
    tag_concurrency_limits=[{"key": GPU_TAG, "limit": 9}],
    should_block_op_concurrency_limited_runs=False,
)
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "repository"), "job")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--waiting", type=int, nargs="+", default=[100, 1_000, 10_000, 50_000])
    arguments = parser.parse_args()
    logging.getLogger("dagster").setLevel(logging.WARNING)
    table = Table(
        "runs waiting", "ours, ms", "Dagster's, ms", "ours / Dagster's", f"ours / ours with {arguments.waiting[0]:,}"
    )
    with tempfile.TemporaryDirectory(prefix="run-queue-") as home:
        settings = Settings(home=Path(home))
        with embedded_postgres(settings) as url, patch.dict("os.environ", {"TRANSCRIPTION_DATABASE_URL": url}):
            upgrade_database(url)
            write_dagster_files(settings)
            with DagsterInstance.from_config(str(dagster_home(settings))) as instance:
                index_runs(url)
                least = 0.0
                for waiting in arguments.waiting:
                    fill(instance, url, waiting)
                    ours = look(instance, times=9)
                    with patch.object(PatientRunStorage, "get_runs", PostgresRunStorage.get_runs):
                        theirs = look(instance, times=3 if waiting <= 1_000 else 1)
                    least = least or ours
                    table.add_row(
                        f"{waiting:,}",
                        f"{ours * 1000:.1f}",
                        f"{theirs * 1000:.1f}",
                        f"{ours / theirs:.3f}",
                        f"{ours / least:.2f}",
                    )
    Console().print(table)


def fill(instance: DagsterInstance, url: str, count: int) -> None:
    """Leave exactly `count` runs waiting."""
    instance.run_storage.wipe()
    kinds = [{GPU_TAG: "any"}] * 9 + [{}]
    models = [
        instance.add_run(
            DagsterRun(
                job_name="transcribe_recordings", status=DagsterRunStatus.QUEUED, tags=tags, remote_job_origin=ORIGIN
            )
        ).run_id
        for tags in [*kinds, {GPU_TAG: "any", "dagster/priority": "1"}]
    ]
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO runs (run_id, pipeline_name, status, run_body)"
            " SELECT 'copy-' || n, pipeline_name, status, replace(run_body, run_id, 'copy-' || n)"
            " FROM generate_series(1, %s) n JOIN runs ON run_id = (%s::text[])[CASE WHEN n %% 100 = 0 THEN 11"
            " ELSE 1 + n %% 10 END]",
            (count - len(models), models),
        )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE runs")


def look(instance: DagsterInstance, times: int) -> float:
    """Return the median seconds of a poll."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    config: Any = SimpleNamespace(run_queue_config=LIMITS, pool_config=None)
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        assert len(daemon._get_runs_to_dequeue(instance, config, None)) == LIMITS.max_concurrent_runs
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
