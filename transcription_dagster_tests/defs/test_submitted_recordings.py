"""Recordings submitted over the API: their runs, and the notifications to their senders."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator

import dagster as dg
import pytest
from sqlalchemy import Engine, text

from transcription_dagster.database import submissions
from transcription_dagster.database.publications import Publication, publish
from transcription_dagster.database.recordings import Recording, record_failure
from transcription_dagster.defs.resources import all_resources
from transcription_dagster.defs.sensors import submitted_recordings
from transcription_dagster.errors import SourceRefused
from transcription_dagster.settings import load_settings
from transcription_dagster.sources.submissions import SIGNATURE, send_outcome, webhook_client
from transcription_dagster_tests.sample_transcripts import RECORDING
from transcription_dagster_tests.sources.web_server import Reply, Request, WebServer, web_server

SECRET = "a secret of tests"


@pytest.fixture
def receiver() -> Iterator[WebServer]:
    with web_server(lambda _request: Reply(status=204)) as server:
        yield server


@pytest.fixture
def submitted(at_home: object, engine: Engine, receiver: WebServer, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("TRANSCRIPTION_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("TRANSCRIPTION_WEBHOOK_HOSTS", receiver.url)
    monkeypatch.setenv("TRANSCRIPTION_IB_ALLOW_PRIVATE", "true")
    submissions.add(engine, Recording(RECORDING, "/a.wav"), "a program", f"{receiver.url}/done")
    return engine


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> dg.SensorResult:
    resources = all_resources(load_settings())
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
        result = submitted_recordings(context)
    assert isinstance(result, dg.SensorResult)
    return result


def sent(receiver: WebServer) -> list[Request]:
    return [*receiver.requests]


def test_a_run_is_requested_once_with_its_partition(submitted: Engine, instance: dg.DagsterInstance) -> None:
    first = tick(instance)
    assert [request.partition_key for request in first.run_requests or ()] == [RECORDING]
    assert first.dynamic_partitions_requests
    assert [*(tick(instance, first.cursor).run_requests or ())] == []


def test_the_sender_is_notified_once_and_can_verify_the_signature(
    submitted: Engine, instance: dg.DagsterInstance, receiver: WebServer
) -> None:
    tick(instance)
    assert sent(receiver) == []
    publish(submitted, Publication(RECORDING, "one", "One.", "en", "small", 1, 1.0))
    tick(instance)
    tick(instance)
    [request] = sent(receiver)
    notifications = json.loads(request.body)
    assert (notifications["event"], notifications["recording"], notifications["error"]) == (
        "recording.done",
        RECORDING,
        None,
    )
    seconds, _, signature = request.headers[SIGNATURE.lower()].removeprefix("t=").partition(",v1=")
    expected = hmac.new(SECRET.encode(), f"{seconds}.".encode() + request.body, hashlib.sha256).hexdigest()
    assert signature == expected


def test_a_failure_is_notified_and_a_failed_delivery_is_repeated(
    submitted: Engine, instance: dg.DagsterInstance, receiver: WebServer
) -> None:
    record_failure(submitted, RECORDING, "no audio")
    receiver.answer = lambda _request: Reply(status=500)
    tick(instance)
    tick(instance)
    assert len(sent(receiver)) == 1
    with submitted.begin() as connection:
        connection.execute(text("UPDATE transcription_data.submissions SET next_attempt_at = now()"))
    receiver.answer = lambda _request: Reply(status=204)
    tick(instance)
    assert [json.loads(request.body)["error"] for request in sent(receiver)] == ["no audio", "no audio"]
    assert submissions.outcomes(submitted, 10) == []


def test_webhooks_reach_no_private_address_and_follow_no_redirect(submitted: Engine, receiver: WebServer) -> None:
    record_failure(submitted, RECORDING, "no audio")
    [outcome] = submissions.outcomes(submitted, 10)
    with webhook_client(load_settings(ib_allow_private=False)) as client, pytest.raises(SourceRefused):
        send_outcome(client, outcome, SECRET)
    receiver.answer = lambda _request: Reply(status=302, headers={"Location": f"{receiver.url}/elsewhere"})
    with webhook_client(load_settings()) as client, pytest.raises(Exception, match="with 302"):
        send_outcome(client, outcome, SECRET)
    assert [request.path for request in sent(receiver)] == ["/done"]
