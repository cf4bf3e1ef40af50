"""Listing, searching, results and submission over the API."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from transcription_dagster.database import submissions, tokens
from transcription_dagster.database.recordings import find_recording
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.settings import load_settings
from transcription_dagster.sources.fetch import fetch
from transcription_dagster_tests.sample_transcripts import spoken
from transcription_dagster_tests.stack.small_stack import until
from transcription_dagster_tests.web.conftest import Site
from transcription_dagster_tests.web.reading_room.conftest import Library

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Counter:
    """A server that accepts recordings, a client, and the store."""

    client: httpx.Client
    engine: Engine
    store: Path


@pytest.fixture
def counter(engine: Engine, serve: Callable[..., Site], tmp_path: Path) -> Iterator[Counter]:
    url = engine.url.render_as_string(hide_password=False).replace("postgresql+psycopg", "postgresql")
    site = serve(
        database_url=url,
        store=(tmp_path / "store").as_uri(),
        scratch=tmp_path / "scratch",
        embedder="none",
        max_source_gb=1e-5,
        source_hosts=("media.example.org",),
        webhook_hosts=("hooks.example.org",),
        webhook_secret="a secret of tests",
    )
    token = tokens.create(engine, "sender", {TokenScope.SUBMIT})
    with site.client(headers={"Authorization": f"Bearer {token}"}) as client:
        yield Counter(client, engine, tmp_path / "store")


def test_a_submitted_url_waits_for_its_run(counter: Counter) -> None:
    body = {
        "url": "https://media.example.org/talk.mp3?signature=planted-secret",
        "title": "A talk",
        "language": "de",
        "webhook": "https://hooks.example.org/done",
    }
    answer = counter.client.post("/api/recordings", json=body)
    assert answer.status_code == 202
    recording = answer.json()["recording"]
    known = find_recording(counter.engine, recording)
    assert known is not None
    assert (known.source, known.title, known.language) == ("https://media.example.org/talk.mp3", "A talk", "de")
    assert submissions.waiting(counter.engine, 10) == [recording]


@pytest.mark.parametrize(
    "body",
    [
        {"url": "https://elsewhere.example.org/talk.mp3"},
        {"url": "http://media.example.org/talk.mp3"},
        {"url": "file:///etc/passwd"},
        {"url": "https://user:password@media.example.org/talk.mp3"},
        {"url": "https://media.example.org/"},
        {"url": "https://[media.example.org/talk.mp3"},
        {"url": "https://media.exa\tmple.org/talk.mp3"},
        {"url": "https://media.example.org/talk.mp3\r\nHost: localhost"},
        {"url": "https://media.example.org/talk.mp3", "webhook": "https://elsewhere.example.org/done"},
        {"url": "https://media.example.org/talk.mp3", "webhook": "http://127.0.0.1:8080/"},
        {"url": "https://media.example.org/talk.mp3", "language": "klingon"},
    ],
)
def test_addresses_and_languages_that_are_not_allowed_are_refused(counter: Counter, body: dict[str, str]) -> None:
    answer = counter.client.post("/api/recordings", json=body)
    assert answer.status_code == 422
    assert "password" not in answer.json()["error"]
    assert submissions.waiting(counter.engine, 10) == []


def test_an_uploaded_file_is_stored_where_workers_find_it(counter: Counter, tmp_path: Path) -> None:
    answer = counter.client.post(
        "/api/uploads", params={"name": "../../My talk.WAV", "title": "A talk"}, content=b"RIFF" * 100
    )
    assert answer.status_code == 202
    recording = answer.json()["recording"]
    assert (counter.store / recording / "upload.wav").read_bytes() == b"RIFF" * 100
    known = find_recording(counter.engine, recording)
    assert known is not None
    settings = load_settings(home=tmp_path, store=counter.store.as_uri(), source_folders=[tmp_path / "elsewhere"])
    assert fetch(known.source, tmp_path / "fetched", settings).size == 400


def test_too_large_and_empty_uploads_are_refused_and_leave_nothing(counter: Counter) -> None:
    assert counter.client.post("/api/uploads", content=b"x" * 10_001).status_code == 413
    assert counter.client.post("/api/uploads", content=b"").status_code == 422
    assert not counter.store.exists() or list(counter.store.iterdir()) == []
    assert submissions.waiting(counter.engine, 10) == []


def test_an_upload_that_breaks_off_leaves_nothing_and_is_no_error_of_the_program(
    counter: Counter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)
    url = counter.client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=60) as sender:
        head = f"POST /api/uploads HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: 9000\r\n"
        sender.sendall(f"{head}Authorization: {counter.client.headers['Authorization']}\r\n\r\nbegun".encode())
        until(lambda: _unfinished(counter) != [])
    until(lambda: _unfinished(counter) == [])
    # Answered after the end of the upload.
    assert counter.client.get("/health").is_success
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert submissions.waiting(counter.engine, 10) == []


def _unfinished(counter: Counter) -> list[Path]:
    # Unlike `rglob`, this allows folders to vanish meanwhile.
    folders = os.walk(counter.store.parent / "scratch")
    return [Path(folder, name) for folder, _folders, files in folders for name in files]


def test_a_submit_token_cannot_read(counter: Counter) -> None:
    assert counter.client.get("/api/recordings").status_code == 403
    assert counter.client.get("/api/search", params={"q": "x"}).status_code == 403


def test_recordings_are_listed_page_by_page_searched_and_fetched(library: Library) -> None:
    names = [str(uuid.uuid4()) for _ in range(3)]
    for name in names:
        library.add(name, f"Talk {name[:4]}", spoken("the zymurgist brews"))
    library.store.put_bytes(f"{names[0]}/refined.txt", b"The zymurgist brews.\n")
    with library.site.client() as program:
        listed: list[str] = []
        page = {"limit": "2"}
        while page:
            listing = program.get("/api/recordings", params=page).json()
            listed += [each["recording"] for each in listing["recordings"]]
            page = {"limit": "2", "after": listing["next"]} if listing["next"] else {}
        assert set(names) <= set(listed)
        assert len(listed) == len(set(listed))
        moments = program.get("/api/search", params={"q": "zymurgist"}).json()["moments"]
        assert {moment["recording"] for moment in moments} == set(names)
        one = program.get(f"/api/recordings/{names[0]}").json()
        assert {"refined.txt", "transcript.json"} <= set(one["files"])
        assert program.get(f"/api/recordings/{names[0]}/files/refined.txt").text == "The zymurgist brews.\n"
        assert program.get(f"/api/recordings/{names[0]}/files/source.secret").status_code == 404
        assert program.get(f"/api/recordings/{uuid.uuid4()}").status_code == 404
        assert program.get("/api/recordings", params={"limit": "0"}).status_code == 422
        assert program.get("/api/recordings", params={"after": "x"}).status_code == 422


@pytest.mark.parametrize("query", ["langauge=de", "speaker=%00"])
def test_a_misspelt_filter_is_an_error_and_not_ignored(library: Library, query: str) -> None:
    with library.site.client() as program:
        refused = program.get(f"/api/recordings?{query}")
    assert refused.status_code == 422
    assert query.partition("=")[0] in refused.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/recordings", "GET, HEAD, POST"),
        ("OPTIONS", "/api/recordings/8d3f6a52-70c4-4b1e-9f3a-5f2f9c0e7a11/corrections", "GET, HEAD, POST"),
        ("PUT", "/api/vocabulary/import", "POST"),
    ],
)
def test_an_unsupported_method_is_refused_with_the_supported_ones(
    library: Library, method: str, path: str, allowed: str
) -> None:
    with library.site.client() as program:
        refused = program.request(method, path)
        assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
        assert program.request(method, "/api/nothing").status_code == 404


def test_a_value_of_another_type_is_refused_and_not_converted(library: Library) -> None:
    with library.site.client() as program:
        body = {"term": "Quillonite", "variant": "quill on ite", "accept": "yes"}
        refused = program.post("/api/vocabulary/suggestions", json=body)
    assert refused.status_code == 422
    assert "accept" in refused.json()["error"]
