"""The list and the pages of recordings, without scripts."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from html import unescape
from html.parser import HTMLParser
from io import BytesIO

import httpx
import pytest
from docx import Document

from transcription_dagster.corrections.changes import Draft
from transcription_dagster.corrections.drafts import retype
from transcription_dagster.corrections.manuscript import CorrectedText, Manuscript, correct
from transcription_dagster.database.publications import Warned
from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.model import Word
from transcription_dagster.search.index import EmbeddedChunk, replace_chunks
from transcription_dagster.transcripts.reading import SignedEdit
from transcription_dagster.web import pages
from transcription_dagster_tests.sample_transcripts import spoken
from transcription_dagster_tests.web.reading_room.conftest import MODEL, Library

FIRST = "00000000-0000-4000-8000-000000000001"
MINE = "00000000-0000-4000-8000-00000000000a"
HOSTILE = "00000000-0000-4000-8000-000000000002"
ATTACK = "<script>alert(1)</script>'\"><img src=x onerror=alert(2)>"
PAGE = {"Accept": "text/html"}
#: Python reads the media types from the system, which may have either.
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


def test_the_pages_of_a_search_hold_each_moment_once(visitor: httpx.Client, library: Library):
    library.add(MINE, "The mine", spoken("The quillonite is mined here."))
    chunks = [
        EmbeddedChunk("The quillonite is mined here.", float(second), second + 1.0, [1.0, 0.0, 0.0])
        for second in range(70)
    ]
    replace_chunks(library.engine, MINE, MODEL, chunks)
    seen: list[str] = []
    address, sizes = "/recordings?q=quillonite", list[int]()
    while address:
        page = visitor.get(address).text
        moments = re.findall(rf'href="/recordings/{MINE}\?t=([0-9.]+)', page)
        seen += dict.fromkeys(moments)
        sizes.append(len(dict.fromkeys(moments)))
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = f"/recordings{unescape(following[1])}" if following else ""
    assert sizes == [30, 30, 10]
    assert len(set(seen)) == 70


def test_the_page_holds_the_text_and_the_position_of_each_word(visitor: httpx.Client):
    page = visitor.get(f"/recordings/{FIRST}").text
    assert "The budget was agreed." in page
    assert 'data-offsets="0 4 7 4 8 7 6 8 4" data-times="0 50 50 50 50 50 50 50 50"' in page


@pytest.mark.parametrize("path", ["/recordings", f"/recordings/{HOSTILE}", "/recordings?q=onerror%3Dalert"])
def test_text_never_becomes_markup(visitor: httpx.Client, path: str):
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
def test_an_unknown_recording_is_not_found(visitor: httpx.Client, name: str, below: str):
    assert visitor.get(f"/recordings/{name}{below}").status_code == 404


def test_an_unexpected_error_is_a_page_without_details(visitor: httpx.Client, monkeypatch: pytest.MonkeyPatch):
    def fail(*_arguments: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr("transcription_dagster.web.reading_room.listing.languages", fail)
    # The server closes the connection after an error, so no other request may reuse it.
    answer = visitor.get("/recordings", headers={"Connection": "close"})
    assert (answer.status_code, "swordfish" in answer.text) == (500, False)
    assert "Its log has the details." in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize("first", ["9" * 5000, "9" * 30, "-1", "²", "x"])
def test_a_range_of_words_that_does_not_exist_has_no_turns(visitor: httpx.Client, first: str):
    answer = visitor.get(f"/recordings/{FIRST}/turns", params={"first": first})
    assert (answer.status_code, "turn-" in answer.text) == (200, False)


def test_audio_is_served_in_ranges(visitor: httpx.Client, library: Library):
    whole = library.store.get_bytes(f"{FIRST}/audio.flac")
    part = visitor.get(f"/recordings/{FIRST}/media", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.headers["Content-Type"]) == (206, "audio/flac")
    assert part.content == whole[100:200]
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole)}"


def test_only_scripts_and_styles_are_served(visitor: httpx.Client):
    assert visitor.get("/recordings/static/player.js").headers["Content-Type"].partition(";")[0] in SCRIPTS
    assert visitor.get("/recordings/static/..%2fapp.py").status_code == 404


def test_peoples_corrections_are_among_the_changes_with_their_names(visitor: httpx.Client, library: Library):
    uuid = "00000000-0000-4000-8000-000000000003"
    edit = SignedEdit(1, 1, "peer", "pier", "mishearing", "claude")
    transcript = library.add(uuid, "Corrected", spoken("The peer has moved again."), edits=[edit])
    manuscript = Manuscript.of(transcript, "The pier has moved again.")
    for first, stop, text in ((0, 2, "The jetty"), (4, 5, "twice.")):
        drafts = partial(_retyped, first=first, stop=stop, text=text)
        correct(library.engine, manuscript, drafts, who="Anna <b>", seen=10)
    page = visitor.get(f"/recordings/{uuid}?view=changes").text
    assert '<del title="correction, by Anna &lt;b&gt;">again.</del>' in page
    assert '<ins title="correction, by Anna &lt;b&gt;">twice.</ins>' in page
    assert "jetty" in page
    assert "pier" not in page
    assert ">The jetty has moved twice.<" in _without_tags(visitor.get(f"/recordings/{uuid}?view=refined").text)


def _retyped(current: CorrectedText, *, first: int, stop: int, text: str) -> list[Draft]:
    return retype(current.reading, first, stop, text)


def _without_tags(page: str) -> str:
    return re.sub(r"</?ins[^>]*>", "", page)


def test_the_documents_hold_the_corrected_text(visitor: httpx.Client, library: Library):
    uuid = "00000000-0000-4000-8000-000000000004"
    library.add(
        uuid, "Größe: 1/2", spoken("The peer has moved."), edits=[SignedEdit(1, 1, "peer", "pier", "mishearing", "c")]
    )
    answer = visitor.get(f"/recordings/{uuid}/files/transcript.docx")
    assert "filename*=UTF-8''Gr%C3%B6%C3%9Fe%201%202%20transcript.docx" in answer.headers["Content-Disposition"]
    document = Document(BytesIO(answer.content))
    assert [paragraph.text.split("\n")[-1] for paragraph in document.paragraphs][-1] == "The pier has moved."
    captions = visitor.get(f"/recordings/{uuid}/files/refined.vtt")
    assert captions.text.startswith("WEBVTT")
    assert "The pier has moved." in captions.text


@pytest.mark.parametrize("name", ["audio.json", "reading.json", "source.secret", "..%2faudio.flac", "refined.exe"])
def test_no_other_file_of_the_store_is_served(visitor: httpx.Client, library: Library, name: str):
    library.store.put_bytes(f"{FIRST}/source.secret", b"secret")
    assert visitor.get(f"/recordings/{FIRST}/files/{name}").status_code == 404
    assert visitor.get(f"/recordings/{FIRST}/tracks/{name}").status_code == 404


def test_a_playable_original_is_served_or_else_the_normalised_audio(visitor: httpx.Client, library: Library):
    uuid = "00000000-0000-4000-8000-000000000005"
    library.add(uuid, "Original", spoken("Good evening."))
    original = library.folder / "evening.mp4"
    original.write_bytes(b"not really a film")
    register(library.engine, [Recording(uuid, original.as_uri())])
    assert visitor.get(f"/recordings/{uuid}/media").content == b"not really a film"
    assert f'<video id="media" controls preload="metadata" src="/recordings/{uuid}/media">' in (
        page := visitor.get(f"/recordings/{uuid}").text
    )
    assert f'<track kind="captions" src="/recordings/{uuid}/tracks/refined.vtt"' in page
    original.unlink()
    assert visitor.get(f"/recordings/{uuid}/media").headers["Content-Type"] == "audio/flac"
    assert "<audio" in visitor.get(f"/recordings/{uuid}").text


def test_the_list_is_paged_and_filtered(visitor: httpx.Client, library: Library):
    for number in range(60):
        uuid = f"00000000-0000-4000-8000-0000000001{number:02}"
        register(
            library.engine,
            [Recording(uuid, f"file:///old/{number}.mp3", modified=datetime(1999, 1, 1 + number // 3, tzinfo=UTC))],
        )
    seen: list[str] = []
    address = "/recordings?until=1999-12-31&status=waiting"
    while address:
        page = visitor.get(address).text
        seen += re.findall(r'class="title" href="/recordings/([0-9a-f-]+)"', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        address = f"/recordings{unescape(following[1])}" if following else ""
    assert len(seen) == len(set(seen)) == 60
    assert seen == sorted(seen, reverse=True)
    assert "No recordings match the filters." in visitor.get("/recordings?until=1999-12-31&status=published").text


def test_filters_of_speaker_and_warnings_reach_list_and_search(visitor: httpx.Client, library: Library):
    uuid = "00000000-0000-4000-8000-000000000006"
    words = [Word("Zeppelin", 0.0, 0.5, speaker="Ines")]
    library.add(uuid, "Airship", words, warnings=[Warned("gap", 3.0, "speech in which no words were found")])
    for query in ("", "q=zeppelin&"):
        for wanted, found in (("speaker=Ines", True), ("speaker=Nobody", False), ("warned=1", True)):
            page = visitor.get(f"/recordings?{query}{wanted}").text
            assert ("Airship" in page) is found, (query, wanted)
    assert "The council meets" not in visitor.get("/recordings?warned=1").text
    assert "No results." in visitor.get("/recordings?q=zeppelin&status=waiting").text


def test_a_search_by_speaker_finds_only_this_speakers_words(visitor: httpx.Client, library: Library):
    uuid = "00000000-0000-4000-8000-000000000007"
    library.add(uuid, "Orchard", [Word("Quince", 0.0, 0.5, speaker="Ines"), Word("medlar.", 0.5, 1.0, speaker="Tom")])
    chunks = [
        EmbeddedChunk("Quince", 0.0, 0.5, [1.0, 0.0, 0.0], speakers=["Ines"]),
        EmbeddedChunk("medlar.", 0.5, 1.0, [1.0, 0.0, 0.0], speakers=["Tom"]),
    ]
    replace_chunks(library.engine, uuid, MODEL, chunks, language="en")
    assert "<mark>medlar</mark>" in visitor.get("/recordings?q=medlar&speaker=Tom").text
    assert "No results." in visitor.get("/recordings?q=medlar&speaker=Ines").text


@pytest.mark.parametrize(
    "query",
    [
        "after=x",
        "after=9999999999999999999_" + FIRST,
        "since=2026-99-99",
        "until=9999-12-31",
        "page=-1&q=a",
        "q=%00",
        "q=" + "-" * 200,
        "q=" + "-+" * 200,
    ],
)
def test_invalid_parameters_are_ignored(visitor: httpx.Client, query: str):
    assert visitor.get(f"/recordings?{query}").status_code == 200


@pytest.mark.parametrize(("language", "direction"), [("ar", "rtl"), ("he", "rtl"), ("ar-EG", "rtl"), ("en", "ltr")])
def test_text_is_shown_in_the_direction_of_its_language(language: str, direction: str):
    assert pages.direction(language) == direction


def test_the_text_of_a_page_has_the_direction_of_its_language(visitor: httpx.Client, library: Library):
    name = str(uuid.uuid4())
    library.add(name, "اجتماع", spoken("صباح الخير جميعا"), language="ar")
    assert '<div class="turns" id="turns" lang="ar" dir="rtl">' in visitor.get(f"/recordings/{name}").text
