"""What `forget` removes of a recording's runs, and how it ends runs in progress."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from click.testing import Result
from sqlalchemy import Engine

from transcription_dagster.cli import recordings as command
from transcription_dagster.cli.connection import open_instance
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.errors import RecordingForgotten, WorkTaken
from transcription_dagster.pool.connection import job_app, open_connection
from transcription_dagster.pool.devices import GPU_QUEUE
from transcription_dagster.pool.inference_client import InferenceClient
from transcription_dagster.pool.inference_requests import TRANSCRIBE_TASK, InferenceRequest
from transcription_dagster.pool.run_queue import EXECUTE_RUN_TASK, RUNS_QUEUE, JobClaim, RunQueue, run_job_key
from transcription_dagster.pool.work_queue import HeldWork, awake_clock
from transcription_dagster.pool.worker_registry import WorkerRecord
from transcription_dagster.settings import load_settings
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster.transcripts.amazon_json import write_transcript
from transcription_dagster.workers.run_worker import RunFence
from transcription_dagster_tests import traces
from transcription_dagster_tests.sample_transcripts import transcript

pytestmark = pytest.mark.slow

Command = Callable[..., Result]
A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
SENTENCE = "quokkas yodel gently"
PARTITIONS = dg.DynamicPartitionsDefinition(name="recordings")


class Said(dg.Config):
    text: str = ""


@dg.asset(partitions_def=PARTITIONS, check_specs=[dg.AssetCheckSpec("faithful", asset="spoken")])
def spoken(context: dg.AssetExecutionContext, config: Said):
    context.log.info(config.text)
    check = dg.AssetCheckResult(passed=True, metadata={"of": config.text})
    return dg.MaterializeResult(metadata={"preview": config.text}, check_results=[check])


def say(instance: dg.DagsterInstance, recording: str, text: str) -> str:
    """Create a run of the recording with the text in its log, metadata, check and config."""
    instance.add_dynamic_partitions("recordings", [recording])
    config = {"ops": {"spoken": {"config": {"text": text}}}}
    return dg.materialize([spoken], instance=instance, partition_key=recording, run_config=config).run_id


def ask(recording: str, text: str) -> None:
    InferenceClient(load_settings().require_database_url()).ask(
        InferenceRequest(text, TRANSCRIBE_TASK, recording, "a run", GPU_QUEUE, {"prompt": text})
    )


@pytest.fixture
def registered(engine: Engine) -> None:
    register(engine, [Recording(uuid, f"/data/{uuid}.wav") for uuid in (A, B)])


def test_forgetting_removes_the_recordings_runs_and_events(
    on_database: Command, registered: None, database_url: str, tmp_path: Path
) -> None:
    with open_instance(load_settings()) as instance:
        remaining = say(instance, B, "wombats hum")
        # Created last, so that Dagster also stores its event with the asset's key.
        runs = [say(instance, A, SENTENCE) for _ in range(2)]
        # The UI's question for the state of partitions, whose answer Dagster stores.
        instance.get_status_by_partition(dg.AssetKey("spoken"), [A, B], PARTITIONS)
        ask(A, SENTENCE)
        ask(B, "wombats hum")
        check = dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey("spoken"),
            check_name="faithful",
            passed=True,
            metadata={"of": dg.MetadataValue.text(f"{A}: {SENTENCE}")},
        )
        instance.report_runless_asset_event(check)
        assert len(traces.in_database(database_url, SENTENCE)) >= 5
        result = on_database("forget", "-y", A)
        assert (result.exit_code, result.stdout) == (0, f"Removed {A}: its rows, 0 files, 2 runs and its partition.\n")
        assert traces.in_database(database_url, SENTENCE, *runs) == []
        tables = [trace.partition(":")[0] for trace in traces.in_database(database_url, A)]
        assert tables == ["transcription_data.forgotten_recordings"]
        assert [run.run_id for run in instance.get_runs()] == [remaining]
        latest = instance.get_latest_materialization_event(dg.AssetKey("spoken"))
        assert latest is not None
        assert latest.run_id == remaining
    with open_connection(database_url) as connection:
        assert [row["key"] for row in connection.execute("SELECT key FROM inference_requests")] == ["wombats hum"]


def test_no_request_is_queued_for_a_forgotten_recording(
    on_database: Command, registered: None, database_url: str
) -> None:
    on_database("forget", "-y", A)
    with pytest.raises(RecordingForgotten):
        ask(A, SENTENCE)
    assert traces.in_database(database_url, SENTENCE) == []


def test_a_hanging_run_loses_its_job_and_can_write_no_event(
    on_database: Command, registered: None, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setenv("TRANSCRIPTION_HEARTBEAT_SECONDS", "0.2")
    monkeypatch.setenv("TRANSCRIPTION_STALE_SECONDS", "1")
    with open_instance(load_settings()) as instance:
        instance.add_dynamic_partitions("recordings", [A])
        job = dg.define_asset_job("say", [spoken], partitions_def=PARTITIONS)
        definition = dg.Definitions([spoken], jobs=[job]).resolve_job_def("say")
        run = instance.create_run_for_job(definition, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": A})
        fence = RunFence(database_url, trusted_seconds=0.3)
        fence.guard(instance)
        fence.watch(run.run_id, hung_worker(database_url, run.run_id))
        instance.report_engine_event(SENTENCE, run)
        result = on_database("forget", "-y", A)
        assert result.exit_code == 0, result.output
        with pytest.raises(WorkTaken):
            instance.report_engine_event(SENTENCE, run)
    assert traces.in_database(database_url, SENTENCE, run.run_id) == []


def hung_worker(url: str, run_id: str) -> HeldWork[JobClaim]:
    """Have a worker claim a job for the run, and then hang."""

    async def take() -> HeldWork[JobClaim]:
        queue = RunQueue(url, WorkerRecord("run-1@here", "run"), [RUNS_QUEUE])
        await queue.open()
        try:
            claim = await queue.claim()
            assert claim is not None
            return HeldWork(claim, awake_clock())
        finally:
            await queue.connector.close_async()

    key = run_job_key(run_id)
    with open_connection(url) as connection:
        task = job_app.configure_task(
            EXECUTE_RUN_TASK, allow_unknown=True, queue=RUNS_QUEUE, lock=key, queueing_lock=key, connection=connection
        )
        task.defer(run_id=run_id)
    return asyncio.run(take())


def test_log_records_about_a_forgotten_recording_are_removed(
    on_database: Command, engine: Engine, tmp_path: Path
) -> None:
    register(engine, [Recording(A, f"/data/{A}.wav", title="The council of spring")])
    store = ObjectStore(load_settings().store_url)
    store.put_bytes(f"{A}/transcript.json", write_transcript(transcript(SENTENCE)).encode())
    log = tmp_path / "home" / "logs" / "run-1.log"
    log.parent.mkdir(parents=True)
    messages = [f"took {A}", f"left out: {SENTENCE}", 'title "The council of spring"', f"took {B}"]
    log.write_text("".join(f"2026-11-30 10:00:0{number} {line}\n" for number, line in enumerate(messages)))
    result = on_database("forget", "-y", A)
    assert result.stdout.splitlines()[-1] == "Removed 3 log records about it."
    assert log.read_text() == f"2026-11-30 10:00:03 took {B}\n"


def test_an_unreadable_transcript_is_reported_because_quotations_stay_in_logs(
    on_database: Command, engine: Engine
) -> None:
    register(engine, [Recording(A, f"/data/{A}.wav")])
    ObjectStore(load_settings().store_url).put_bytes(f"{A}/transcript.json", b"{")
    result = on_database("forget", "-y", A)
    assert "quotations of it stay in log files" in result.stderr
    assert result.stdout.startswith(f"Removed {A}: its rows, 1 files")
