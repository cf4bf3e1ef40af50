"""Other programs and a running stack: submissions over the API, webhooks, results, and corrections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from transcription_dagster.database.connection import open_database, transaction
from transcription_dagster.database.tables import CorrectedRecordingRow
from transcription_dagster.defs.sensors import QUIET_SECONDS
from transcription_dagster.sources.submissions import SIGNATURE, signature
from transcription_dagster_tests.end_to_end.one_stack.conftest import WEBHOOK_SECRET
from transcription_dagster_tests.faults import requests_of
from transcription_dagster_tests.sources.web_server import Reply, Request, WebServer
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("one stack")]

CORRECTED_FILES = {"corrected.txt", "corrected.json", "refined.srt", "refined.vtt", "recording.json"}
#: Seconds: sensors run every 15 seconds, the daemon needs time, and both of the stack's cores may be busy.
SENSOR_SECONDS = 120


@pytest.fixture
def program(system: System) -> Iterator[httpx.Client]:
    """Return a client of the API without a token, because the stack has no password."""
    with httpx.Client(base_url=system.stack.url, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def outside(other_program: WebServer) -> WebServer:
    """Return the other program's server, which offers one recording and receives every webhook."""

    def answer(request: Request) -> Reply:
        return Reply(body=DEMO_RECORDINGS[1].read_bytes() if request.path == "/talk.wav" else b"")

    other_program.answer = answer
    return other_program


def hand_in(program: httpx.Client, outside: WebServer) -> list[str]:
    """Upload one recording and submit the URL of another; return their UUIDs."""
    described = {"title": "A talk", "webhook": f"{outside.url}/done"}
    file = DEMO_RECORDINGS[0].read_bytes()
    responses = [
        program.post("/api/uploads", params={"name": "talk.wav", **described}, content=file),
        program.post("/api/recordings", json={"url": f"{outside.url}/talk.wav", **described}),
    ]
    assert [response.status_code for response in responses] == [202, 202], [response.text for response in responses]
    return [response.json()["recording"] for response in responses]


def news(outside: WebServer, recording: str) -> list[dict[str, Any]]:
    """Return the webhooks about a recording, after checking their signatures."""
    brought = []
    for request in list(outside.requests):
        if request.path != "/done" or recording.encode() not in request.body:
            continue
        sent_signature = request.headers[SIGNATURE.lower()]
        sent_at = float(sent_signature.removeprefix("t=").partition(",")[0])
        assert sent_signature == signature(request.body, WEBHOOK_SECRET, sent_at)
        brought.append(json.loads(request.body))
    return brought


def let_rest(system: System, recording: str) -> None:
    """Pretend that the last correction is old enough for the sensor to request a run."""
    older = CorrectedRecordingRow.changed_at - timedelta(seconds=QUIET_SECONDS)
    engine = open_database(system.url)
    with transaction(engine) as connection:
        connection.execute(
            update(CorrectedRecordingRow).where(CorrectedRecordingRow.recording == recording).values(changed_at=older)
        )
    engine.dispose()


def contents(system: System, recording: str) -> dict[str, bytes]:
    folder = system.settings.home / "store" / recording
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def turns(program: httpx.Client, recording: str) -> list[dict[str, Any]]:
    return program.get(f"/api/recordings/{recording}/turns").json()["turns"]


def test_submitted_recordings_are_transcribed_and_results_fetched(program: httpx.Client, outside: WebServer) -> None:
    recordings = hand_in(program, outside)
    for recording in recordings:
        wait_until(
            lambda recording=recording: news(outside, recording),
            2 * SENSOR_SECONDS,
            "the webhook was called",
            every=0.5,
        )
        [notice] = news(outside, recording)
        assert (notice["event"], notice["error"]) == ("recording.done", None)
        results = program.get(notice["results"]).json()
        assert (results["status"], results["title"]) == ("published", "A talk")
        assert {"transcript.json", "refined.srt", "corrected.txt"} <= set(results["files"])
        text = program.get(f"/api/recordings/{recording}/files/corrected.txt").text
        assert len(text.split()) == results["words"] > 10


def test_a_correction_is_published_without_transcribing_again(system: System, program: httpx.Client) -> None:
    [recording] = system.register([DEMO_RECORDINGS[0]])
    run = system.launch([recording])[recording]
    assert [run.status for run in system.finish([recording])] == ["SUCCESS"], system.log_of(run)
    before = contents(system, recording)
    first = turns(program, recording)[0]
    change = {"kind": "text", "first": first["first"], "stop": first["stop"], "text": f"Quillonite {first['text']}"}
    named = {"kind": "speaker", "first": first["first"], "stop": first["stop"], "speaker": "Ada", "everywhere": True}
    for version, draft in enumerate((change, named)):
        response = program.post(f"/api/recordings/{recording}/corrections", json={**draft, "seen": version})
        assert response.status_code == 200, response.text
    let_rest(system, recording)
    wait_until(
        lambda: any(other_run.id != run for other_run in system.runs_of([recording])),
        SENSOR_SECONDS,
        "a run was requested",
    )
    [corrected] = system.finish([recording])
    assert (corrected.status, corrected.tags["dagster/sensor_name"]) == ("SUCCESS", "corrected_recordings")
    after = contents(system, recording)
    assert {name for name in after if after[name] != before.get(name)} == CORRECTED_FILES
    assert b"Quillonite" in after["refined.srt"]
    assert b"<v Ada>" in after["refined.vtt"]
    [listed] = [
        entry for entry in program.get("/api/recordings").json()["recordings"] if entry["recording"] == recording
    ]
    assert listed["speakers"] == ["Ada"]
    assert len(requests_of(system, [recording])) == 1
    assert turns(program, recording)[0]["text"].startswith("Quillonite ")
