"""Requests that arrive slowly or never end, on real connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from transcription_dagster.web.bounded_requests import BoundedRequests
from transcription_dagster_tests.stack.small_stack import until

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
#: How the requests that the application received ended.
ENDS: list[str] = []


class _Impatient(BoundedRequests):
    patience_seconds = 0.3


async def _take(request: Request) -> PlainTextResponse:
    try:
        size = len(await request.body())
    except ClientDisconnect:
        ENDS.append("disconnected")
        raise
    return PlainTextResponse(str(size))


@contextmanager
def serving(protocol: type[BoundedRequests]) -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = Starlette(routes=[Route("/", _take, methods=["POST"])])
        server = uvicorn.Server(uvicorn.Config(app, http=protocol, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until(lambda: server.started)
        yield listener.getsockname()
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def impatient() -> Iterator[tuple[str, int]]:
    with serving(_Impatient) as address:
        yield address


@pytest.fixture(scope="module")
def patient() -> Iterator[tuple[str, int]]:
    with serving(BoundedRequests) as address:
        yield address


def answer_to(address: tuple[str, int], request: bytes) -> bytes:
    """Send the beginning of a request; return everything until the server closes the connection."""
    with socket.create_connection(address, timeout=60) as client:
        client.sendall(request)
        received = b""
        while part := client.recv(65_536):
            received += part
    return received


@pytest.mark.parametrize("begun", [b"", b"POS", HEAD, HEAD + b"X-Header"])
def test_a_head_that_does_not_end_is_abandoned(impatient: tuple[str, int], begun: bytes):
    assert answer_to(impatient, begun) == b""


@pytest.mark.parametrize(
    "body", [b"Content-Length: 9\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX-Trailer: "]
)
def test_a_body_that_does_not_end_is_abandoned(impatient: tuple[str, int], body: bytes):
    ENDS.clear()
    answer_to(impatient, HEAD + body)
    until(lambda: ENDS == ["disconnected"])


def test_a_second_request_of_a_connection_is_bounded_too(impatient: tuple[str, int]):
    first = HEAD + b"Content-Length: 3\r\n\r\nabc"
    received = answer_to(impatient, first + HEAD)
    assert received.count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.parametrize(
    "endless",
    [b"GET /", HEAD + b"X-Header: ", HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Trailer: "],
)
def test_an_endless_head_is_refused(patient: tuple[str, int], endless: bytes):
    with socket.create_connection(patient, timeout=60) as client, pytest.raises(ConnectionError):
        send_on_and_on(client, endless)


def send_on_and_on(client: socket.socket, endless: bytes) -> None:
    """Send the beginning of a request, and 100 MB more."""
    client.sendall(endless)
    for _ in range(1_000):
        client.sendall(b"a" * 100_000)


def test_a_long_chunked_upload_is_accepted(patient: tuple[str, int]):
    parts = [b"a" * 100_000] * 30
    answer = httpx.post("http://{}:{}/".format(*patient), content=iter(parts), trust_env=False, timeout=60)
    assert answer.text == "3000000"
