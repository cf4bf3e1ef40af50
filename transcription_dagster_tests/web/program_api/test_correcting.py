"""Reading and correcting over the API, as other programs and the pages do."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import pytest

from transcription_dagster.database import tokens
from transcription_dagster.database.tokens import TokenScope
from transcription_dagster.database.voice_prints import replace_voice_prints
from transcription_dagster.defs.stored_values import STORED_FORMS
from transcription_dagster_tests.sample_transcripts import spoken, transcript
from transcription_dagster_tests.web.conftest import PASSWORD, Site
from transcription_dagster_tests.web.csrf_page import csrf_headers
from transcription_dagster_tests.web.reading_room.conftest import Library

#: Operations that return a recording's whole text.
WHOLE_TEXT = ("turns", "corrections", "files/transcript.json", "files/refined.srt")


@pytest.fixture
def recording(library: Library) -> str:
    name = str(uuid.uuid4())
    library.add(name, "The basin", spoken("yesterday we found quill on ite in the basin"))
    return name


@pytest.fixture
def program(library: Library) -> Iterator[httpx.Client]:
    """Return a client without a token, because the server has no password."""
    with library.site.client() as client:
        yield client


def correct(client: httpx.Client, recording: str, **replacement: object) -> httpx.Response:
    return client.post(f"/api/recordings/{recording}/corrections", json={"seen": 0, "who": "Ada", **replacement})


def text(client: httpx.Client, recording: str) -> list[str]:
    return [turn["text"] for turn in client.get(f"/api/recordings/{recording}/turns").json()["turns"]]


def test_a_turn_is_read_corrected_and_read_again(program: httpx.Client, recording: str) -> None:
    turns = program.get(f"/api/recordings/{recording}/turns").json()
    assert turns["version"] == 0
    [turn] = turns["turns"]
    new = turn["text"].replace("quill on ite", "Quillonite")
    answer = correct(program, recording, kind="text", first=turn["first"], stop=turn["stop"], text=new)
    assert answer.status_code == 200
    assert answer.json()["version"] == 1
    assert [(each["old"], each["new"], each["who"]) for each in answer.json()["changes"]] == [
        ("quill on ite", "Quillonite", "Ada")
    ]
    assert text(program, recording) == [new]
    words = program.get(f"/api/recordings/{recording}/turns", params={"words": True}).json()["turns"][0]["words"]
    assert [(word["text"], word["start"]) for word in words if word["corrected"]] == [("Quillonite", 1.5)]


def test_a_second_persons_change_shows_both_texts(program: httpx.Client, recording: str) -> None:
    correct(program, recording, kind="text", first=0, stop=9, text="Yesterday we found Quillonite in the basin")
    answer = correct(program, recording, kind="text", first=0, stop=9, text="today we found quill on ice in the basin")
    assert answer.status_code == 409
    body = answer.json()
    assert body["yours"] == "today we found quill on ice in the basin"
    assert [turn["text"] for turn in body["theirs"]["turns"]] == ["Yesterday we found Quillonite in the basin"]
    assert body["theirs"]["version"] == 2
    assert text(program, recording) == ["Yesterday we found Quillonite in the basin"]


def test_history_can_be_undone_and_restored(program: httpx.Client, recording: str) -> None:
    correct(program, recording, kind="text", first=0, stop=9, text="today we found Quillonite in the basin")
    history = program.get(f"/api/recordings/{recording}/corrections").json()
    assert [(each["version"], each["can_undo"]) for each in history["changes"]] == [(2, True), (1, True)]
    assert correct(program, recording, kind="undo", undoes=1, seen=2).status_code == 200
    assert text(program, recording) == ["yesterday we found Quillonite in the basin"]
    assert correct(program, recording, kind="restore", first=0, stop=9, seen=3).status_code == 200
    assert text(program, recording) == ["yesterday we found quill on ite in the basin"]
    assert correct(program, recording, kind="undo", undoes=1, seen=4).status_code == 422
    assert correct(program, recording, kind="undo", undoes=99, seen=4).status_code == 422


def test_replacing_returns_a_preview_first(program: httpx.Client, recording: str) -> None:
    address = f"/api/recordings/{recording}/replacements"
    replacement = {"sought": "Quill on ite", "new": "Quillonite", "seen": 0}
    preview = program.post(address, json=replacement).json()
    assert (preview["count"], preview["version"]) == (1, 0)
    assert preview["replacements"][0]["new"] == "yesterday we found Quillonite in the basin"
    assert program.post(address, json=replacement | {"apply": True}).json()["version"] == 1
    assert text(program, recording) == ["yesterday we found Quillonite in the basin"]


def test_speakers_are_named_and_turns_split_and_joined(program: httpx.Client, recording: str) -> None:
    correct(program, recording, kind="split", first=3)
    correct(program, recording, kind="speaker", first=0, stop=3, speaker="Ada", seen=1)
    turns = program.get(f"/api/recordings/{recording}/turns").json()["turns"]
    assert [(turn["speaker"], turn["text"]) for turn in turns] == [
        ("Ada", "yesterday we found"),
        (None, "quill on ite in the basin"),
    ]
    correct(program, recording, kind="join", first=3, seen=2)
    assert text(program, recording) == ["yesterday we found quill on ite in the basin"]
    correct(program, recording, kind="unintelligible", first=0, stop=9, seen=3)
    assert text(program, recording) == ["[unintelligible]"]


def test_a_voice_is_named_in_every_recording_where_it_is_certain(program: httpx.Client, library: Library) -> None:
    names = {"here": (1.0, 0.0, 0.0), "sure": (0.9, 0.1, 0.0), "likely": (0.6, 0.8, 0.0), "other": (0.0, 0.0, 1.0)}
    recordings = {name: str(uuid.uuid4()) for name in names}
    for name, voice in names.items():
        words = [replace(word, speaker="spk_0") for word in spoken("yesterday we found it")]
        library.add(recordings[name], name, [*words, replace(words[0], start=9.0, end=9.4, speaker="spk_1")])
        replace_voice_prints(library.engine, recordings[name], "test", {"spk_0": (2.0, voice)})
    address = f"/api/recordings/{recordings['here']}/voices"
    answer = program.post(address, json={"word": 1, "speaker": "Ada", "who": "Bob"}).json()
    assert [each["title"] for each in answer["named"]] == ["sure"]
    assert [each["title"] for each in answer["likely"]] == ["likely"]
    speakers = {
        name: [turn["speaker"] for turn in program.get(f"/api/recordings/{recording}/turns").json()["turns"]]
        for name, recording in recordings.items()
    }
    labels = ["spk_0", "spk_1"]
    assert speakers == {"here": ["Ada", "spk_1"], "sure": ["Ada", "spk_1"], "likely": labels, "other": labels}
    # The name was given to the wrong voice; naming it again corrects it everywhere.
    program.post(address, json={"word": 1, "speaker": "Eve", "who": "Bob"})
    [change, _] = program.get(f"/api/recordings/{recordings['sure']}/corrections").json()["changes"]
    assert (change["kind"], change["old"], change["new"], change["who"]) == ("speaker", "Ada", "Eve", "Bob")
    assert program.post(address, json={"word": 4, "speaker": "Ada"}).status_code == 422


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "text", "first": 0, "stop": 99, "text": "x"}, 422),
        ({"kind": "text", "first": -1, "stop": 1, "text": "x"}, 422),
        ({"kind": "dance", "first": 0, "stop": 1}, 422),
        ({"kind": "speaker", "first": 0, "stop": 1, "speaker": " "}, 422),
        ({"kind": "join", "first": 0}, 422),
        ({"kind": "text", "first": 0, "stop": 9, "text": "x" * 30_000}, 422),
    ],
)
def test_invalid_values_are_refused_in_one_line(
    program: httpx.Client, recording: str, body: dict[str, object], status: int
) -> None:
    answer = correct(program, recording, **body)
    assert answer.status_code == status
    assert "\n" not in answer.json()["error"]
    assert text(program, recording) == ["yesterday we found quill on ite in the basin"]


def test_other_bodies_and_unknown_recordings_are_refused(program: httpx.Client, recording: str) -> None:
    address = f"/api/recordings/{recording}/corrections"
    assert program.post(address, data={"kind": "text"}).status_code == 415
    assert (
        program.post(address, content=b"x" * 1_100_000, headers={"Content-Type": "application/json"}).status_code == 413
    )
    assert program.get(f"/api/recordings/{uuid.uuid4()}/turns").status_code == 404
    assert program.get("/api/recordings/../turns").status_code == 404
    assert program.get("/api/nothing").json()["error"].startswith("there is nothing")


def test_a_page_must_send_its_token_to_change_anything(library: Library, recording: str) -> None:
    with library.site.client(headers={"Origin": library.site.url, "Sec-Fetch-Site": "same-origin"}) as browser:
        assert correct(browser, recording, kind="split", first=3).status_code == 403
        headers = csrf_headers(browser, f"/recordings/{recording}")
        browser.headers.update(headers)
        assert correct(browser, recording, kind="split", first=3).status_code == 200


def test_a_token_is_limited_to_its_scopes(library: Library, recording: str) -> None:
    reading = tokens.create(library.engine, f"reader {recording}", {TokenScope.READ})
    writing = tokens.create(library.engine, f"writer {recording}", {TokenScope.CORRECT})
    with library.site.client(headers={"Authorization": f"Bearer {reading}"}) as reader:
        assert reader.get(f"/api/recordings/{recording}/turns").status_code == 200
        assert correct(reader, recording, kind="split", first=3).status_code == 403
        tokens.revoke(library.engine, f"reader {recording}")
        assert reader.get(f"/api/recordings/{recording}/turns").status_code == 401
    with library.site.client(headers={"Authorization": f"Bearer {writing}"}) as writer:
        [change] = correct(writer, recording, kind="split", first=3).json()["changes"]
        assert change["who"] == f"writer {recording}"
        assert writer.get(f"/api/recordings/{recording}/turns").status_code == 403


def test_behind_a_password_a_token_opens_the_api_and_nothing_else(
    serve: Callable[..., Site], library: Library, recording: str
) -> None:
    url = library.engine.url.render_as_string(hide_password=False).replace("postgresql+psycopg", "postgresql")
    closed = serve(ui_password=PASSWORD, database_url=url, store=library.store.url, embedder="none")
    token = tokens.create(library.engine, f"closed {recording}", {TokenScope.READ})
    with closed.client() as stranger:
        assert stranger.get(f"/api/recordings/{recording}/turns").status_code == 401
        assert stranger.get(f"/api/recordings/{recording}/turns", auth=("", PASSWORD)).status_code == 200
    with closed.client(headers={"Authorization": f"Bearer {token}"}) as program:
        assert program.get(f"/api/recordings/{recording}/turns").status_code == 200
        assert program.get("/graphql", params={"query": "{version}"}).status_code == 401
        for elsewhere in ("/recordings", "/mcpelse", "/mcp/else"):
            assert program.get(elsewhere).status_code == 401
    with closed.client(headers={"Authorization": "Bearer transcription_guess"}) as stranger:
        assert stranger.get(f"/api/recordings/{recording}/turns").status_code == 401


def test_reading_unredacted_text_requires_its_own_scope(
    serve: Callable[..., Site], library: Library, recording: str
) -> None:
    redacted = transcript("yesterday we found [card] in the basin", recording=recording)
    files = {
        "redacted_json": redacted,
        "redacted_txt": "yesterday we found [card] in the basin\n",
    }
    for asset, value in files.items():
        form = STORED_FORMS[asset]
        library.store.put_bytes(f"{recording}/{form.file}", form.encode(value))
    url = library.engine.url.render_as_string(hide_password=False).replace("postgresql+psycopg", "postgresql")
    site = serve(database_url=url, store=library.store.url, embedder="none", redact=("card",), publish="redacted")
    scopes = {TokenScope.READ, TokenScope.CORRECT}
    tokens_of = {
        name: tokens.create(library.engine, f"{name} {recording}", given)
        for name, given in {"reader": scopes, "editor": scopes | {TokenScope.READ_UNREDACTED}}.items()
    }
    one = f"/api/recordings/{recording}"
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "read_recording", "arguments": {"recording": recording}},
    }
    with site.client(headers={"Authorization": f"Bearer {tokens_of['reader']}"}) as reader:
        assert reader.get(one).json()["files"] == ["redacted.json", "redacted.txt"]
        assert reader.get(f"{one}/files/redacted.txt").text == files["redacted_txt"]
        assert [reader.get(f"{one}/{path}").status_code for path in WHOLE_TEXT] == [403] * len(WHOLE_TEXT)
        assert correct(reader, recording, kind="split", first=3).status_code == 403
        assert "quill" not in reader.post("/mcp", json=call).text
        [turn] = reader.post("/mcp", json=call).json()["result"]["structuredContent"]["turns"]
        assert turn["text"] == "yesterday we found [card] in the basin"
        assert reader.get("/api/vocabulary").json()["suggestions"] == []
        # Chunks embedded before only redacted files were published contain the whole text.
        assert reader.get("/api/search", params={"q": "quill basin"}).json()["moments"] == []
    with site.client(headers={"Authorization": f"Bearer {tokens_of['editor']}"}) as editor:
        assert [editor.get(f"{one}/{path}").status_code for path in WHOLE_TEXT] == [200] * len(WHOLE_TEXT)
        assert "quill on ite" in editor.post("/mcp", json=call).text
        assert editor.get("/api/search", params={"q": "quill basin"}).json()["moments"]
    with site.client(headers={"Accept": "text/html"}) as browser:
        assert (
            "Only the redacted files of this recording are published." in browser.get(f"/recordings/{recording}").text
        )


def test_the_description_names_every_operation(program: httpx.Client) -> None:
    document = program.get("/api/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert "post" in document["paths"]["/api/recordings/{recording}/corrections"]
    named = set(_references(document))
    assert named <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref":
                yield each
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)
