"""Personal data found by Comprehend, played by a local server and called with the real boto3."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from transcription_dagster.errors import ServiceRefused
from transcription_dagster.model import Word
from transcription_dagster.redaction.detectors import find_by_comprehend
from transcription_dagster_tests.sources.web_server import Reply, Request, WebServer, web_server

SAYS = {"NAME": re.compile(r"Ada Brooks|Zoë"), "ADDRESS": re.compile(r"4 Pier Road"), "DATE_TIME": re.compile("Monday")}


def words(text: str) -> list[Word]:
    return [Word(part, float(number), number + 0.9) for number, part in enumerate(text.split())]


def answer(request: Request) -> Reply:
    call = json.loads(request.body)
    assert request.headers["x-amz-target"].endswith(".DetectPiiEntities")
    if "refuse" in call["Text"]:
        return reply({"__type": "AccessDeniedException", "message": "no"}, status=400)
    entities = [
        {"Type": kind, "Score": 0.99, "BeginOffset": match.start(), "EndOffset": match.end()}
        for kind, pattern in SAYS.items()
        for match in pattern.finditer(call["Text"])
    ]
    return reply({"Entities": entities})


def reply(document: object, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode())


@pytest.fixture
def comprehend(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    with web_server(answer) as server:
        for name, value in {
            "AWS_ENDPOINT_URL_COMPREHEND": server.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }.items():
            monkeypatch.setenv(name, value)
        yield server


def test_names_and_addresses_are_found_at_their_words(comprehend: WebServer) -> None:
    spoken = words("On Monday Ada Brooks, of 4 Pier Road, met Zoë.")
    detections = find_by_comprehend(spoken, {"name", "address"}, "en")
    texts = [
        (detection.kind, " ".join(word.text for word in spoken[detection.first : detection.stop]))
        for detection in detections
    ]
    assert texts == [("name", "Ada Brooks,"), ("address", "4 Pier Road,"), ("name", "Zoë.")]


def test_a_long_text_is_sent_in_pieces(comprehend: WebServer) -> None:
    spoken = words("We talk and talk. " * 4_000 + "Ada Brooks came.")
    (detections,) = find_by_comprehend(spoken, {"name"}, "en")
    assert (spoken[detections.first].text, detections.stop - detections.first) == ("Ada", 2)
    assert len(comprehend.requests) == 2


def test_other_kinds_are_left_out(comprehend: WebServer) -> None:
    assert find_by_comprehend(words("Ada Brooks"), {"card"}, "en") == []


def test_a_refusal_is_an_error(comprehend: WebServer) -> None:
    with pytest.raises(ServiceRefused):
        find_by_comprehend(words("please refuse"), {"name"}, "en")
