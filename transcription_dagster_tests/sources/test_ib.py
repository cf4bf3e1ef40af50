from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from transcription_dagster.errors import InvalidRecordingId, InvalidSetting, SourceRefused, SourceUnavailable
from transcription_dagster.settings import Settings
from transcription_dagster.sources.ib import IbSource, StoredAddresses, ib_uri
from transcription_dagster_tests.sources.web_server import Reply, Request, WebServer, web_server

ONE = "00000000-0000-4000-8000-000000000001"
TWO = "00000000-0000-4000-8000-000000000002"


def page(*recordings: object, following: object = None) -> Reply:
    return Reply(body=json.dumps({"recordings": recordings, "next": following}).encode())


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server(lambda request: page()) as running:
        yield running


@pytest.fixture
def library(server: WebServer, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> IbSource:
    monkeypatch.setenv("IB_TOKEN", "the-token")
    return IbSource(
        settings(
            ib_url_template=f"{server.url}/media/{{uuid}}/original",
            ib_list_url=f"{server.url}/list?kind=audio",
            ib_allow_private=True,
        )
    )


def test_a_page_describes_each_recording(server: WebServer, library: IbSource) -> None:
    full = {"uuid": ONE, "size": 9, "etag": "a", "modified": "2026-11-23T10:00:00Z"}
    server.answer = lambda request: page(full, {"uuid": TWO})
    listing = library.list(None, 50)
    assert listing.exhausted
    assert listing.problems == ()
    first, second = listing.objects
    assert (first.uuid, first.uri) == (ONE, f"{server.url}/media/{ONE}/original")
    assert (first.size, first.etag, first.modified) == (9, "a", datetime(2026, 11, 23, 10, tzinfo=UTC))
    assert (second.uuid, second.size, second.etag, second.modified) == (TWO, None, "", None)
    assert server.requests[0].path == "/list?kind=audio&limit=50"
    assert server.requests[0].headers["authorization"] == "Bearer the-token"


def test_pages_follow_one_another(server: WebServer, library: IbSource) -> None:
    def answer(request: Request) -> Reply:
        return page({"uuid": TWO}) if "page=2" in request.path else page({"uuid": ONE}, following="?page=2")

    server.answer = answer
    first = library.list(None, 50)
    assert not first.exhausted
    second = library.list(first.cursor, 50)
    assert second.exhausted
    assert second.cursor is None
    assert [entry.uuid for entry in (*first.objects, *second.objects)] == [ONE, TWO]


def test_a_cursor_contains_no_part_of_the_servers_url(server: WebServer, library: IbSource, tmp_path: Path) -> None:
    server.answer = lambda request: page({"uuid": ONE}, following="/list?page=2&signature=quokka")
    cursor = library.list(None, 50).cursor
    assert cursor is not None
    assert re.fullmatch(r"[0-9a-f]{64}", cursor)
    library.list(cursor, 50)
    assert server.requests[-1].path == "/list?page=2&signature=quokka"
    (file,) = (tmp_path / "home" / "sources").iterdir()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("cursor", ["0" * 64, "http://elsewhere.example/list?signature=quokka"])
def test_an_unknown_cursor_starts_over(server: WebServer, library: IbSource, cursor: str) -> None:
    library.list(cursor, 50)
    assert server.requests[-1].path == "/list?kind=audio&limit=50"


def test_only_the_last_urls_are_kept(tmp_path: Path) -> None:
    addresses = StoredAddresses(tmp_path / "pages.json")
    names = [addresses.keep(f"https://host.example/{number}") for number in range(103)]
    assert [addresses.find(name) for name in names[:4]] == [None, None, None, "https://host.example/3"]


@pytest.mark.parametrize(
    "entry",
    [
        "text",
        None,
        {},
        {"uuid": "../../x"},
        {"uuid": ONE.replace("0", "A")},
        {"uuid": ONE, "size": "big"},
        {"uuid": ONE, "modified": "soon"},
        {"uuid": ONE, "size": -1},
    ],
)
def test_an_invalid_entry_is_skipped_and_reported(server: WebServer, library: IbSource, entry: object) -> None:
    server.answer = lambda request: page(entry, {"uuid": TWO})
    listing = library.list(None, 50)
    assert [listed.uuid for listed in listing.objects] == [TWO]
    assert len(listing.problems) == 1
    assert "is left out" in listing.problems[0]


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"{}", b'{"recordings": 1}', b'{"recordings": [], "next": 5}', b"[" * 100_000]
)
def test_an_invalid_listing_is_refused(server: WebServer, library: IbSource, body: bytes) -> None:
    server.answer = lambda request: Reply(body=body)
    with pytest.raises(SourceRefused, match="did not answer with"):
        library.list(None, 50)


def test_an_endless_listing_is_refused(server: WebServer, library: IbSource) -> None:
    server.answer = lambda request: Reply(body=b" " * 17_000_000)
    with pytest.raises(SourceRefused, match="more than 16777216 bytes"):
        library.list(None, 50)


def test_a_next_page_on_another_host_is_refused(server: WebServer, library: IbSource) -> None:
    server.answer = lambda request: page(following="https://elsewhere.example.org/list")
    with pytest.raises(SourceRefused, match="not on an allowed host"):
        library.list(library.list(None, 50).cursor, 50)


@pytest.mark.parametrize(
    ("status", "error"), [(401, SourceRefused), (500, SourceUnavailable), (429, SourceUnavailable)]
)
def test_errors_of_the_library_are_reported(
    server: WebServer, library: IbSource, status: int, error: type[Exception]
) -> None:
    server.answer = lambda request: Reply(status)
    with pytest.raises(error, match=f"answered {status}"):
        library.list(None, 50)


def test_only_a_uuid_is_inserted_into_the_template() -> None:
    assert ib_uri("https://h/{uuid}/x/{uuid}", ONE) == f"https://h/{ONE}/x/{ONE}"
    with pytest.raises(InvalidRecordingId):
        ib_uri("https://h/{uuid}", "../admin")


def test_the_listing_url_is_required(settings: Callable[..., Settings]) -> None:
    with pytest.raises(InvalidSetting):
        IbSource(settings(ib_url_template="https://h/{uuid}"))


def test_the_template_gives_the_recordings_url(settings: Callable[..., Settings]) -> None:
    with pytest.raises(ValueError, match=r"no \{uuid\} in it"):
        settings(ib_url_template="https://h/recordings")
