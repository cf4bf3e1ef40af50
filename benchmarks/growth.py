"""The size of the database after many short recordings, by groups of tables.

    python -m benchmarks.growth [--recordings 1000 5000] [--per-day 500] [--run-history-days DAYS]

Each recording leaves what a run over a minute of speech leaves: jobs of the queues, Dagster's events, and the results.
After `--per-day` recordings all rows become a day older, and the workers' housekeeping runs. Sizes are in MB, with
indexes; the baseline is the first number of recordings: the queues should not grow from there.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import tempfile
import uuid
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.arguments import argument_parser
from transcription_dagster.database.connection import Engine, open_database, upgrade_database
from transcription_dagster.database.publications import Publication, publish
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.database.run_history import remove_old_history
from transcription_dagster.pool.connection import job_app, open_connection
from transcription_dagster.pool.devices import GPU_QUEUE
from transcription_dagster.pool.inference_client import InferenceClient, release_answers
from transcription_dagster.pool.inference_requests import EMBED_TASK, TRANSCRIBE_TASK, InferenceRequest
from transcription_dagster.pool.request_queue import RequestQueue
from transcription_dagster.pool.run_queue import EXECUTE_RUN_TASK, RUNS_QUEUE, RunQueue, run_job_key
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.search.index import EmbeddedChunk, EmbeddingModel, replace_chunks
from transcription_dagster.settings import Settings
from transcription_dagster.stack.home import dagster_home, write_dagster_files
from transcription_dagster.stack.postgres import embedded_postgres
from transcription_dagster.workers.housekeeping import prune_queues

ASSETS = 12
GROUPS = {
    "results": "schemaname = 'transcription_data'",
    "queues": "tablename LIKE 'procrastinate%' OR tablename LIKE 'transcription%' AND schemaname = 'public'",
    "Dagster": "schemaname = 'public' AND tablename !~ '^(procrastinate|transcription)'",
}
LEXICON = ["".join(random.Random(number).choices("etaoinshrdlu", k=2 + number % 8)) for number in range(5_000)]


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--recordings", type=int, nargs="+", default=[1_000, 5_000])
    parser.add_argument("--per-day", type=int, default=500)
    parser.add_argument("--run-history-days", type=float)
    arguments = parser.parse_args()
    logging.getLogger("dagster").setLevel(logging.WARNING)
    table = Table("recordings", *(f"{name}, MB" for name in GROUPS), "queues' rows", "Dagster's rows")
    with tempfile.TemporaryDirectory(prefix="growth-") as home:
        settings = Settings(home=Path(home))
        with embedded_postgres(settings) as url, patch.dict("os.environ", {"TRANSCRIPTION_DATABASE_URL": url}):
            upgrade_database(url)
            write_dagster_files(settings)
            with dg.DagsterInstance.from_config(str(dagster_home(settings))) as instance:
                model = a_run(instance)
            engine = open_database(url)
            asyncio.run(grow(url, engine, model, arguments, table))
            engine.dispose()
    Console().print(table)


def a_run(instance: dg.DagsterInstance) -> str:
    """Run a job with as many assets as a recording has, with partition `model`; return the run's id."""
    partitions = dg.StaticPartitionsDefinition(["model"])

    def asset(number: int) -> dg.AssetsDefinition:
        @dg.asset(name=f"asset_{number}", partitions_def=partitions, deps=[f"asset_{number - 1}"] if number else [])
        def made():
            return dg.MaterializeResult(metadata={"words": 160, "preview": dg.MetadataValue.md("word " * 200)})

        return made

    assets = [asset(number) for number in range(ASSETS)]
    return dg.materialize(assets, partition_key="model", instance=instance).run_id


async def grow(url: str, engine: Engine, model: str, arguments: argparse.Namespace, table: Table) -> None:
    workers = Workers(url)
    await workers.open()
    try:
        for number in range(1, max(arguments.recordings) + 1):
            await one_recording(workers, url, engine, model, number)
            if number % arguments.per_day == 0:
                age(url)
                await prune_queues(workers.runs.connector)
                if arguments.run_history_days is not None:
                    remove_old_history(engine, days=arguments.run_history_days)
            if number in arguments.recordings:
                table.add_row(f"{number:,}", *measured(url))
    finally:
        await workers.close()


class Workers:
    """The queues of a run worker and of an executor."""

    def __init__(self, url: str) -> None:
        self.runs = RunQueue(url, WorkerRecord("run-1@here", "run"), [RUNS_QUEUE])
        self.requests = RequestQueue(url, WorkerRecord("gpu-0@here", "gpu"), [GPU_QUEUE])

    async def open(self) -> None:
        for queue in (self.runs, self.requests):
            await queue.open()

    async def close(self) -> None:
        for queue in (self.runs, self.requests):
            await queue.connector.close_async()


async def one_recording(workers: Workers, url: str, engine: Engine, model: str, number: int) -> None:
    """Write everything that one recording leaves in the database."""
    recording, run_id, chance = str(uuid.uuid4()), str(uuid.uuid4()), random.Random(number)
    register(engine, [Recording(recording, f"file:///recordings/{recording}.wav")])
    with open_connection(url) as connection:
        job_app.configure_task(
            EXECUTE_RUN_TASK,
            allow_unknown=True,
            queue=RUNS_QUEUE,
            queueing_lock=run_job_key(run_id),
            connection=connection,
        ).defer(run_id=run_id)
    run = await workers.runs.claim()
    assert run is not None
    texts = chance.choices(LEXICON, k=160)
    words = [{"word": text, "start": place / 3, "end": place / 3 + 0.3, "p": 0.9} for place, text in enumerate(texts)]
    vectors = [[chance.random() for _ in range(384)] for _ in range(3)]
    for task, answer in ((TRANSCRIBE_TASK, {"words": words}), (EMBED_TASK, {"vectors": vectors})):
        request = InferenceRequest(f"{task}-{recording}", task, recording, run_id, GPU_QUEUE, {"recording": recording})
        client = InferenceClient(url)
        client.ask(request)
        claim = await workers.requests.claim()
        assert claim is not None
        assert await workers.requests.begin(claim)
        await workers.requests.report_progress(claim, 0.5)
        await workers.requests.finish(claim, answer)
        client.wait(request, on_event=lambda _line: None)
    text = " ".join(texts)
    chunks = [EmbeddedChunk(text[place::3], 0.0, 20.0, vector) for place, vector in enumerate(vectors)]
    replace_chunks(engine, recording, EmbeddingModel("all-MiniLM-L6-v2", 384), chunks, language="en")
    publish(engine, Publication(recording, text, text, "en", "medium", len(texts), 60.0))
    copy_run(url, model, run_id, recording)
    release_answers(url, run_id)
    await workers.runs.finish(run, None)


def copy_run(url: str, model: str, run_id: str, recording: str) -> None:
    """Copy the model run with its events, under another id and for another partition."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO runs (run_id, snapshot_id, pipeline_name, status, run_body, partition, start_time, end_time)"
            " SELECT %s, snapshot_id, pipeline_name, status, replace(run_body, run_id, %s), %s, start_time, end_time"
            " FROM runs WHERE run_id = %s",
            (run_id, run_id, recording, model),
        )
        connection.execute(
            "INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)"
            " SELECT %s, replace(event, run_id, %s), dagster_event_type, timestamp, step_key, asset_key,"
            " CASE WHEN partition IS NOT NULL THEN %s END FROM event_logs WHERE run_id = %s ORDER BY id",
            (run_id, run_id, recording, model),
        )


def age(url: str) -> None:
    """Age all data by a day."""
    with psycopg.connect(url) as connection:
        for table, column in (
            ("procrastinate_events", "at"),
            ("inference_requests", "finished_at"),
            ("runs", "update_timestamp"),
        ):
            connection.execute(f"UPDATE {table} SET {column} = {column} - interval '24 hours 1 second'")  # type: ignore[arg-type]


def measured(url: str) -> list[str]:
    """Return the size of each group of tables, and the rows of the queues and of Dagster's log."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM")

        def value(statement: str) -> float:
            row = connection.execute(statement).fetchone()  # type: ignore[arg-type]
            return row[0] if row else 0

        relation = "pg_total_relation_size(format('%I.%I', schemaname, tablename))"
        sizes = [value(f"SELECT sum({relation}) FROM pg_tables WHERE {which}") for which in GROUPS.values()]
        queues = ("procrastinate_jobs", "procrastinate_events", "inference_requests")
        rows = sum(value(f"SELECT count(*) FROM {table}") for table in queues)
        events = sum(value(f"SELECT count(*) FROM {table}") for table in ("runs", "event_logs"))
    return [*(f"{float(size) / 1e6:.1f}" for size in sizes), f"{rows:,}", f"{events:,}"]


if __name__ == "__main__":
    main()
