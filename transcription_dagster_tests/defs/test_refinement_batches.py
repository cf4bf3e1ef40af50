"""Batch mode in Dagster: assets, job and sensor, with a local server for the Messages API."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine

from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.defs.assets.conversation import corrected_txt, refined_srt
from transcription_dagster.defs.assets.refinement import faithful, refined_txt, refinement_request
from transcription_dagster.defs.partitions import recordings
from transcription_dagster.defs.refinement_batches import exchange_refinements, is_due, refinement_batches
from transcription_dagster.defs.resources import all_resources
from transcription_dagster.refinement.message_batches import batch_store
from transcription_dagster.refinement.message_batches.batch_store import Queue
from transcription_dagster.settings import load_settings
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster.transcripts.amazon_json import write_transcript
from transcription_dagster_tests.messages_server import MessagesServer, edits, error
from transcription_dagster_tests.sample_transcripts import transcript

pytestmark = pytest.mark.slow

RECORDING = "00000000-0000-0000-0000-000000000001"
GRAPH = """
import json
from dagster import AssetKey
from transcription_dagster.definitions import defs
repository = defs.get_repository_def()
parents = repository.asset_graph.get(AssetKey("refined_txt")).parent_keys
print(json.dumps({
    "jobs": {job.name: sorted(job.graph.node_dict) for job in repository.get_all_jobs()},
    "sensors": [sensor.name for sensor in repository.sensor_defs],
    "deps": sorted(key.to_user_string() for key in parents),
}))
"""


@pytest.fixture
def resources(
    at_home: Path, engine: Engine, server: MessagesServer, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> dict[str, object]:
    monkeypatch.setenv("TRANSCRIPTION_REFINEMENT", "batch")
    monkeypatch.setenv("TRANSCRIPTION_CLAUDE_BATCH_RECORDINGS", "1")
    server.answer = lambda body: edits((0, 0, "Grifana", "Grafana", "mishearing"))
    register(engine, [Recording(RECORDING, "/a.wav")])
    instance.add_dynamic_partitions("recordings", [RECORDING])
    text = write_transcript(transcript("Grifana is here.", recording=RECORDING))
    ObjectStore(load_settings().store_url).put_bytes(f"{RECORDING}/transcript.json", text.encode())
    return all_resources(load_settings())


class Stage:
    """One recording with a transcript, and the parts of Dagster that refine it."""

    def __init__(self, instance: dg.DagsterInstance, resources: dict[str, object], server: MessagesServer) -> None:
        self.server = server
        self._instance = instance
        self._resources = resources
        self._cursor: str | None = None

    def make(self, *assets: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
        """Make the assets and run the checks in one run."""
        definitions = dg.Definitions(
            assets=[
                dg.AssetSpec("conversation", partitions_def=recordings),
                *(definition for definition in assets if not isinstance(definition, dg.AssetChecksDefinition)),
            ],
            asset_checks=[definition for definition in assets if isinstance(definition, dg.AssetChecksDefinition)],
            jobs=[dg.define_asset_job("these", selection=dg.AssetSelection.assets(*assets))],
            resources=self._resources,
            executor=dg.in_process_executor,
        )
        return definitions.resolve_job_def("these").execute_in_process(
            instance=self._instance, partition_key=RECORDING, raise_on_error=False
        )

    def exchange(self) -> dg.ExecuteInProcessResult:
        names = ("catalogue", "store", "settings")
        resources = {name: self._resources[name] for name in names}
        return exchange_refinements.execute_in_process(
            instance=self._instance, resources=resources, raise_on_error=False
        )

    def requested(self) -> list[tuple[str | None, str | None]]:
        """Return the jobs and partitions that a tick requests."""
        with dg.build_sensor_context(
            instance=self._instance, cursor=self._cursor, resources=self._resources
        ) as context:
            result = refinement_batches(context)
        assert isinstance(result, dg.SensorResult)
        self._cursor = result.cursor
        return [(request.job_name, request.partition_key) for request in result.run_requests or ()]


@pytest.fixture
def stage(instance: dg.DagsterInstance, resources: dict[str, object], server: MessagesServer) -> Stage:
    return Stage(instance, resources, server)


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    [metadata_values] = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in metadata_values.metadata.items()}


def made_in(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]


def test_a_batch_leads_from_the_request_to_the_refined_text(
    stage: Stage, server: MessagesServer, at_home: Path
) -> None:
    assert stage.requested() == []
    requested = metadata(stage.make(refinement_request), "refinement_request")
    assert requested["requests"] == 1
    assert requested["expected_dollars"] > 0  # type: ignore[operator]
    assert stage.requested() == [("exchange_refinements", None)]
    assert stage.exchange().success
    assert stage.requested() == []
    server.end_batch("msgbatch_1")
    assert stage.requested() == [("exchange_refinements", None)]
    assert stage.exchange().success
    assert stage.requested() == [("refine_again", RECORDING)]
    assert stage.requested() == []
    facts = metadata(stage.make(refined_txt), "refined_txt")
    assert facts["refinement"] == "refined"
    assert (at_home / RECORDING / "refined.txt").read_text() == "Grafana is here.\n"


def test_without_a_request_the_refined_text_fails_with_a_clear_reason(stage: Stage) -> None:
    result = stage.make(refined_txt)
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert "request_refinement asks" in (data.description or "")


def test_descendants_of_the_refined_text_wait_for_the_answer(stage: Stage) -> None:
    stage.make(refinement_request)
    too_early = stage.make(refined_txt, faithful, corrected_txt, refined_srt)
    assert too_early.success
    assert made_in(too_early) == []
    stage.exchange()
    stage.server.end_batch("msgbatch_1")
    stage.exchange()
    assert stage.requested() == [("refine_again", RECORDING)]
    completed = stage.make(refined_txt, faithful, corrected_txt, refined_srt)
    assert made_in(completed) == ["refined_txt", "corrected_txt", "refined_srt"]
    assert {check.check_name for check in completed.get_asset_check_evaluations()} == {"faithful", "well_formed"}


def test_an_exchange_that_failed_is_not_repeated_at_once(stage: Stage, server: MessagesServer) -> None:
    stage.make(refinement_request)
    server.create_batch = lambda requests: error(429, "rate_limit_error", code="enforced_spend_limit_reached")
    assert not stage.exchange().success
    assert stage.requested() == []


def test_without_credentials_the_vocabulary_alone_is_applied(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    stage.make(refinement_request)
    assert stage.requested() == [("refine_again", RECORDING)]
    assert metadata(stage.make(refined_txt), "refined_txt")["refinement"] == "vocabulary-only"


def test_an_unreachable_api_does_not_block_answered_recordings(
    stage: Stage, engine: Engine, server: MessagesServer
) -> None:
    stage.make(refinement_request)
    stage.exchange()
    batch_store.refuse(engine, RECORDING, "", status="vocabulary-only", note="")
    server.described_batch = lambda batch_id: error(529, "overloaded_error")
    assert stage.requested() == [("refine_again", RECORDING)]


@pytest.mark.parametrize(
    ("waiting", "due"),
    [((0, 0.0), False), ((1, 60.0), False), ((20, 0.0), True), ((1, 900.0), True), ((0, 900.0), False)],
)
def test_a_batch_is_due_when_enough_recordings_wait_or_one_waited_long(waiting: tuple[int, float], due: bool) -> None:
    assert is_due(Queue(*waiting), load_settings(claude_batch_recordings=20, claude_batch_minutes=15)) is due


def test_the_graph_stops_at_the_request_and_continues_at_the_answer(tmp_path: Path) -> None:
    environment = {**os.environ, "TRANSCRIPTION_REFINEMENT": "batch"}
    result = subprocess.run(
        [sys.executable, "-c", GRAPH], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    graph = json.loads(result.stdout)
    assert graph["jobs"]["transcribe_recordings"] == [
        "audio", "captions_srt", "captions_vtt", "conversation", "peaks", "refinement_request", "speakers",
        "transcript", "transcript_txt",
    ]  # fmt: skip
    assert graph["jobs"]["request_refinement"] == ["refinement_request"]
    assert "refinement_request" not in graph["jobs"]["refine_again"]
    assert {"exchange_refinements", "refine_again"} <= set(graph["jobs"])
    assert "refinement_batches" in graph["sensors"]
    assert graph["deps"] == ["conversation", "refinement_request"]
