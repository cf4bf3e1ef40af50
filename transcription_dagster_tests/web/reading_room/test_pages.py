"""The list and the pages of recordings, as a browser without scripts gets them."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest

from transcription_dagster_tests.sample_transcripts import spoken
from transcription_dagster_tests.web.reading_room.conftest import Library

FIRST = "00000000-0000-4000-8000-000000000001"
HOSTILE = "00000000-0000-4000-8000-000000000002"
ATTACK = "<script>alert(1)</script>'\"><img src=x onerror=alert(2)>"
PAGE = {"Accept": "text/html"}
#: Python reads the types of files from the system, which may have either.
SCRIPTS = {"text/javascript", "application/javascript"}


@pytest.fixture(scope="module")
def visitor(library: Library) -> Iterator[httpx.Client]:
    library.add(FIRST, "The council meets", spoken("The budget was agreed. Nobody spoke against the bridge."))
    library.add(HOSTILE, ATTACK, spoken(ATTACK, confidence=0.1))
    with library.site.client(headers=PAGE) as client:
        yield client


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_list_names_every_recording(visitor: httpx.Client):
    page = visitor.get("/recordings")
    assert page.status_code == 200
    assert "The council meets" in page.text
    assert f'href="/recordings/{FIRST}"' in page.text


def test_a_search_finds_the_moment_and_marks_the_match(visitor: httpx.Client):
    page = visitor.get("/recordings", params={"q": "bridge"})
    assert "<mark>bridge</mark>" in page.text
    assert f"/recordings/{FIRST}?t=0.0" in page.text


def test_the_page_holds_the_text_and_where_each_word_is(visitor: httpx.Client):
    page = visitor.get(f"/recordings/{FIRST}").text
    assert "The budget was agreed." in page
    assert 'data-offsets="0 4 7 4 8 7 6 8 4" data-times="0 50 50 50 50 50 50 50 50"' in page


@pytest.mark.parametrize("path", ["/recordings", f"/recordings/{HOSTILE}", "/recordings?q=onerror%3Dalert"])
def test_what_a_text_says_never_becomes_markup(visitor: httpx.Client, path: str):
    page = visitor.get(path)
    assert "alert(2)" in page.text
    elements = Elements(page.text).found
    scripts = [attributes for tag, attributes in elements if tag == "script"]
    sources = [each.get("src") or "" for each in scripts if each.get("type") != "application/json"]
    assert all(source.startswith("/recordings/static/") for source in sources)
    assert not [
        tag for tag, attributes in elements if tag == "img" or any(name.startswith("on") for name in attributes)
    ]


def test_pages_run_only_the_servers_own_scripts(visitor: httpx.Client):
    policy = visitor.get("/recordings").headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", ["nothing", "..%2f..%2fetc", "A" + FIRST[1:], FIRST.replace("1", "9")])
@pytest.mark.parametrize("below", ["", "/media"])
def test_what_is_no_recording_of_the_archive_is_not_found(visitor: httpx.Client, name: str, below: str):
    assert visitor.get(f"/recordings/{name}{below}").status_code == 404


def test_audio_is_served_in_ranges(visitor: httpx.Client, library: Library):
    whole = library.store.get_bytes(f"{FIRST}/audio.flac")
    part = visitor.get(f"/recordings/{FIRST}/media", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.headers["Content-Type"]) == (206, "audio/flac")
    assert part.content == whole[100:200]
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole)}"


def test_scripts_and_styles_are_served_and_nothing_beside_them(visitor: httpx.Client):
    assert visitor.get("/recordings/static/player.js").headers["Content-Type"].partition(";")[0] in SCRIPTS
    assert visitor.get("/recordings/static/..%2fapp.py").status_code == 404
