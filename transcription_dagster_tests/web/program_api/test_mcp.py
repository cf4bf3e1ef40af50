"""The endpoint for assistants, by messages of the protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from transcription_dagster_tests.sample_transcripts import RECORDING, spoken
from transcription_dagster_tests.web.program_api.test_correcting import correct
from transcription_dagster_tests.web.reading_room.conftest import Library

HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


@pytest.fixture
def assistant(library: Library) -> Iterator[httpx.Client]:
    with library.site.client(headers=HEADERS) as client:
        yield client


def ask(client: httpx.Client, method: str, **parameters: Any) -> Any:
    message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": parameters}
    answer = client.post("/mcp", json=message).json()
    assert answer["id"] == 7
    return answer.get("result") or answer["error"]


def test_an_assistant_connects_and_lists_the_tools(assistant: httpx.Client) -> None:
    for asked, spoken_here in (("2025-06-18", "2025-06-18"), ("2099-01-01", "2025-11-25")):
        hello = ask(assistant, "initialize", protocolVersion=asked, capabilities={}, clientInfo={"name": "test"})
        assert hello["protocolVersion"] == spoken_here
    assert assistant.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"}).status_code == 202
    tools = {tool["name"]: tool for tool in ask(assistant, "tools/list")["tools"]}
    assert tools["search"]["inputSchema"]["required"] == ["query"]
    assert tools["read_recording"]["inputSchema"]["required"] == ["recording"]
    assert tools["read_recording"]["outputSchema"]["required"] == ["recording", "title", "turns", "next_start"]


def test_it_searches_and_reads_and_gets_moments_as_sources(assistant: httpx.Client, library: Library) -> None:
    recording = "6651400b-e6dd-426d-bd77-00cc380d16b4"
    library.add(recording, "Ferries", spoken("the ferry to Wrexholm leaves at noon"))
    result = ask(assistant, "tools/call", name="search", arguments={"query": "Wrexholm"})
    [moment] = result["structuredContent"]["moments"]
    assert (moment["title"], moment["start"]) == ("Ferries", 0.0)
    assert moment["link"] == f"{library.site.url}/recordings/{recording}?t=0.00"
    assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
    correct(assistant, recording, kind="text", first=0, stop=7, text="the ferry to Wrexham leaves at noon")
    read = ask(assistant, "tools/call", name="read_recording", arguments={"recording": recording})
    assert [turn["text"] for turn in read["structuredContent"]["turns"]] == ["the ferry to Wrexham leaves at noon"]
    assert read["structuredContent"]["next_start"] is None


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("read_recording", {"recording": "../../etc"}, "not a canonical lower-case UUID"),
        ("read_recording", {"recording": "99999999-0000-4000-8000-000000000000"}, "There is no recording"),
        ("search", {"query": "ferry", "limit": 0}, "limit: Input should be greater"),
        ("search", {}, "query: Field required"),
        ("search", {"query": "ferry", "speaker": "Ada"}, "speaker: Extra inputs are not permitted"),
        ("search", {"query": "\0"}, "query: a text must not contain null characters"),
        ("read_recording", {"recording": RECORDING, "start": 9.0, "end": 3.0}, "`end` is before `start`"),
    ],
)
def test_failed_calls_are_reported_to_the_assistant(
    assistant: httpx.Client, tool: str, arguments: dict[str, Any], told: str
) -> None:
    answer = ask(assistant, "tools/call", name=tool, arguments=arguments)
    assert answer["isError"]
    assert told in answer["content"][0]["text"]


def test_an_invalid_message_is_a_protocol_error(assistant: httpx.Client) -> None:
    assert ask(assistant, "resources/list")["code"] == -32601
    assert ask(assistant, "tools/call", name="delete", arguments={})["code"] == -32602
    kind = {"Content-Type": "application/json"}
    ping = '{"id": %s, "method": "ping"}'
    for body in ("{", "[" * 100_000, ping % "NaN", ping % '"\\ud800"', b"\xff"):
        assert assistant.post("/mcp", content=body, headers=kind).json()["error"]["code"] == -32700
    assert assistant.get("/mcp").status_code == 405
    old = {"MCP-Protocol-Version": "1999-01-01"}
    assert assistant.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=old).status_code == 400
