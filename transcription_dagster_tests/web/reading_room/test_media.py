"""The player's audio when results and sources are in S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.settings import load_settings
from transcription_dagster.web.app import reading_room
from transcription_dagster.web.guard import Csrf
from transcription_dagster.web.pages import Pages
from transcription_dagster.web.reading_room.archive import Archive
from transcription_dagster_tests.s3_server import AwsServer

pytestmark = pytest.mark.slow

RECORDING = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def archive(aws: AwsServer, database_url: str, tmp_path: Path) -> Archive:
    aws.make_bucket("results")
    return Archive.of(load_settings(home=tmp_path, database_url=database_url, store="s3://results/folder"))


@pytest.fixture
def visitor(archive: Archive) -> Iterator[TestClient]:
    app = Starlette(routes=reading_room(archive, Pages(Csrf("csrf"))))
    with TestClient(app, follow_redirects=False, headers={"Accept": "text/html"}) as client:
        yield client


@pytest.mark.parametrize("source", ["s3://results/archive/talk.dss", "s3://results/archive/talk.mp3"])
def test_audio_in_a_bucket_is_played_from_there_and_the_policy_allows_it(
    archive: Archive, visitor: TestClient, source: str
) -> None:
    register(archive.engine, [Recording(RECORDING, source, "A talk")])
    archive.store.put_bytes(f"{RECORDING}/audio.flac", b"normalised")
    answer = visitor.get(f"/recordings/{RECORDING}/media")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (307, "no-store")
    link = urlsplit(answer.headers["Location"])
    assert link.path.endswith("talk.mp3" if source.endswith("mp3") else f"{RECORDING}/audio.flac")
    if not source.endswith("mp3"):
        assert httpx.get(link.geturl(), trust_env=False).content == b"normalised"
    policy = visitor.get(f"/recordings/{RECORDING}").headers["Content-Security-Policy"]
    assert f"media-src 'self' {link.scheme}://{link.netloc};" in policy


def test_without_audio_the_page_has_no_player(archive: Archive, visitor: TestClient) -> None:
    register(archive.engine, [Recording(RECORDING, "https://media.example.org/talk.mp3", "A talk")])
    page = visitor.get(f"/recordings/{RECORDING}")
    assert page.status_code == 200
    assert "There is no transcript of this recording yet." in page.text
    assert "<audio" not in page.text
