"""A recording with personal data, from its file to its publication: only redacted text and audio are published."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import numpy as np
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from sqlalchemy import Engine, text

from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.database import submissions, tokens
from transcription_dagster.database.recordings import Recording, find_recording, register
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.defs.all_assets import all_assets, all_checks
from transcription_dagster.defs.assets import redaction as module
from transcription_dagster.defs.jobs import jobs
from transcription_dagster.defs.resources import InferenceResource, all_resources
from transcription_dagster.defs.sensors import submitted_recordings
from transcription_dagster.model import Transcript, Word
from transcription_dagster.pool.inference_client import InferenceAnswer
from transcription_dagster.pool.inference_requests import EmbeddingRequest
from transcription_dagster.redaction.removal import Redaction, redact
from transcription_dagster.search.embedder import embed
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.sources.worklist_entries import JOBS
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster.transcripts.amazon_json import write_transcript
from transcription_dagster_tests import corpus
from transcription_dagster_tests.s3_server import AwsServer
from transcription_dagster_tests.sample_transcripts import RECORDING, spoken
from transcription_dagster_tests.sources.web_server import Reply, WebServer, web_server
from transcription_dagster_tests.web.conftest import Site, serve

__all__ = ["serve"]

pytestmark = pytest.mark.slow

SAID = (
    "Hello, this is the bank. My card is four one one one one one one one one one one one one one one one. "
    "Write to jane.doe@example.org, or to john dot smith at example dot com. "
    "My account is DE89 3704 0044 0532 0130 00, and my number is +44 20 7946 0958. "
    "Or is the card 5555 5555 5555 4444? Thank you and goodbye."
)
#: The planted data, without spaces and punctuation.
PLANTED = (
    *("oneoneoneone", "41111111", "55555555"),
    *("janedoe", "johndotsmith", "DE89", "370400440532", "2079460958", "79460958"),
)


class Vectors:
    """Embeds every text as the same vector."""

    model = "test"
    dimensions = 3
    max_tokens = 100

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(finding.split()) for finding in texts]

    def encode(self, texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, 0.0, 0.0] for _ in texts]


@pytest.fixture
def settings(
    engine: Engine, database_url: str, at_home: Path, aws: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Provide settings that publish only redacted files, in S3, and a submitted recording with a webhook."""
    aws.make_bucket("archive")
    for name, value in {
        "STORE": "s3://archive/results",
        "REDACT": "card,iban,email,phone",
        "PUBLISH": "redacted",
        "SPEAKERS": "off",
        "REFINEMENT": "off",
    }.items():
        monkeypatch.setenv(f"TRANSCRIPTION_{name}", value)
    words = spoken(SAID)
    sound = corpus.write_wav(at_home.parent / "call.wav", corpus.tone(len(words) / 2))
    register(engine, [Recording(RECORDING, sound.as_uri(), "A call")])
    transcript = Transcript(RECORDING, words, language="en", duration=len(words) / 2, model="small")

    def transcribe(*_: object) -> InferenceAnswer:
        return _answer({"transcript": write_transcript(transcript), "device": "cpu:0", "executor": "here"})

    def embedded(_: object, context: object, request: EmbeddingRequest) -> InferenceAnswer:
        return _answer(embed(Vectors(), request.cues))

    monkeypatch.setattr(InferenceResource, "transcribe", transcribe)
    monkeypatch.setattr(InferenceResource, "embed", embedded)
    return load_settings()


def _answer(result: dict[str, Any]) -> InferenceAnswer:
    return InferenceAnswer(result, waited_seconds=0.0, gpu_seconds=1.0, attempts=())


def transcribed(settings: Settings, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Run the whole job of a new recording."""
    instance.add_dynamic_partitions("recordings", [RECORDING])
    definitions = dg.Definitions(
        all_assets(settings),
        asset_checks=all_checks(),
        jobs=jobs(settings),
        resources=all_resources(settings),
        executor=dg.in_process_executor,
    )
    with pytest.MonkeyPatch.context() as patch:
        # The publication needs the graph of all assets, which Dagster only has outside of a test's process.
        patch.setattr(InMemoryJob, "get_repository_definition", lambda _: definitions.get_repository_def())
        job = definitions.resolve_job_def(JOBS["transcribe"])
        return job.execute_in_process(instance=instance, partition_key=RECORDING, raise_on_error=False)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """Provide a server that receives notifications."""
    with web_server(lambda _: Reply(status=204)) as server:
        monkeypatch.setenv("TRANSCRIPTION_WEBHOOK_SECRET", "a secret of tests")
        monkeypatch.setenv("TRANSCRIPTION_WEBHOOK_HOSTS", server.url)
        monkeypatch.setenv("TRANSCRIPTION_IB_ALLOW_PRIVATE", "true")
        yield server


def planted_in(document: str) -> list[str]:
    places = "".join(character for character in document if character.isalnum()).casefold()
    return [value for value in PLANTED if value.casefold() in places]


def published_rows(engine: Engine) -> str:
    """Return the published rows as JSON."""
    with engine.connect() as connection:
        return "\n".join(
            connection.execute(
                text(f"SELECT coalesce(json_agg(t)::text, '') FROM transcription_data.{table} t")
            ).scalar_one()
            for table in ("transcripts", "insights", "transcript_chunks")
        )


def test_nothing_that_redaction_takes_out_is_published(
    settings: Settings,
    engine: Engine,
    aws: AwsServer,
    instance: dg.DagsterInstance,
    tmp_path: Path,
) -> None:
    result = transcribed(settings, instance)
    assert result.success
    checks = {finding.asset_key.path[-1]: finding.passed for finding in result.get_asset_check_evaluations()}
    assert {checks[name] for name in module.NAMES} == {True}
    bucket = aws.client("s3")

    def file(name: str) -> bytes:
        return bucket.get_object(Bucket="archive", Key=f"results/{RECORDING}/{name}")["Body"].read()

    assert planted_in(file("transcript.json").decode())
    index = file("recording.json").decode()
    texts = {name: file(name).decode() for name in json.loads(index)["files"] if name != "redacted.flac"}
    assert sorted(texts) == ["redacted.json", "redacted.srt", "redacted.txt", "redacted.vtt"]
    assert [planted_in(document) for document in texts.values()] == [[]] * len(texts)
    assert texts["redacted.txt"].count("[card]") == 2
    rows = published_rows(engine)
    assert "[card]" in rows
    assert [planted_in(rows), planted_in(index)] == [[], []]
    # Dagster keeps its events in Postgres, too.
    assert planted_in("\n".join(str(entry) for entry in instance.all_logs(result.run_id))) == []
    sound = tmp_path / "redacted.flac"
    sound.write_bytes(file("redacted.flac"))
    samples = np.concatenate(list(read_blocks(sound, 5)))
    # The sixteen digits of the card, from the tenth word on.
    first = SAID.split().index("four")
    assert not samples[round(first / 2 * 16_000) : round((first + 16) / 2 * 16_000)].any()
    assert samples[: round((first / 2 - 0.3) * 16_000)].any()


def test_programs_and_webhooks_get_nothing_that_redaction_takes_out(
    settings: Settings,
    engine: Engine,
    database_url: str,
    instance: dg.DagsterInstance,
    serve: Callable[..., Site],
    receiver: WebServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = find_recording(engine, RECORDING)
    assert call is not None
    submissions.add(engine, call, "a program", f"{receiver.url}/done")
    assert transcribed(settings, instance).success
    with dg.build_sensor_context(instance=instance, resources=all_resources(load_settings())) as context:
        submitted_recordings(context)
    [notifications] = receiver.requests
    token = tokens.create(engine, "reader", {TokenScope.READ})
    site = serve(
        database_url=database_url, store=settings.store, embedder="none", redact=settings.redact, publish="redacted"
    )
    address = f"/api/recordings/{RECORDING}"
    with site.client(headers={"Authorization": f"Bearer {token}"}) as reader:
        hits = [reader.get("/api/search", params={"q": query}).json()["moments"] for query in ("card", "goodbye")]
        assert all("[card]" in moments[0]["text"] for moments in hits)
        assert [reader.get("/api/search", params={"q": value}).json()["moments"] for value in ("4444", "jane")] == [
            [],
            [],
        ]
        listed = reader.get(address).json()
        answers = [
            notifications.body.decode(),
            json.dumps([hits, listed]),
            reader.get("/api/recordings").text,
            *(reader.get(f"{address}/files/{name}").text for name in listed["files"]),
            called(reader, "search", query="card"),
            called(reader, "read_recording", recording=RECORDING),
        ]
        assert [reader.get(f"{address}/{path}").status_code for path in ("turns", "files/transcript.json")] == [
            403,
            403,
        ]
    assert [planted_in(answer_text) for answer_text in answers] == [[]] * len(answers)
    assert "[card]" in answers[-1]
    assert "[card]" in answers[-2]


def test_nothing_is_published_of_a_recording_in_which_data_remains(
    settings: Settings, engine: Engine, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(words: Sequence[Word], *rest: Any) -> Redaction:
        return replace(redact(words, *rest), words=tuple(words))

    monkeypatch.setattr(module, "redact", careless)
    result = transcribed(settings, instance)
    assert not result.success
    failed = {finding.asset_key.path[-1] for finding in result.get_asset_check_evaluations() if not finding.passed}
    assert {"redacted_txt", "redacted_srt", "redacted_vtt", "redacted_json"} <= failed
    assert published_rows(engine).split() == []
    files = {finding.key.partition("/")[2] for finding in ObjectStore(settings.store_url).list(RECORDING)}
    assert "transcript.json" in files
    assert not {name for name in files if name.startswith(("redacted", "recording"))}


def called(reader: httpx.Client, tool: str, **arguments: object) -> str:
    """Return a tool's answer to an assistant."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    response = reader.post("/mcp", json=message)
    assert "isError" not in response.json()["result"]
    return response.text
