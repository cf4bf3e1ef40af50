from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest

from transcription_dagster.errors import StackError
from transcription_dagster.pool.liveness import this_place
from transcription_dagster.stack.plan import base_url
from transcription_dagster.stack.startup import dagster_ready, local_worker_states, socket_answers
from transcription_dagster_tests.postgres import cloned_database

pytestmark = pytest.mark.slow

LOADED = {"__typename": "RepositoryLocation"}
BROKEN = {"__typename": "PythonError", "message": "ImportError: no such module\n"}


class _WebServer(BaseHTTPRequestHandler):
    """Answers like Dagster's web server, with the test's data."""

    workspace: ClassVar[dict[str, Any]]
    daemons: ClassVar[list[dict[str, Any]]]

    def do_GET(self) -> None:
        self._send({"dagster_version": "1"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        health = {"daemonHealth": {"allDaemonStatuses": self.daemons}}
        self._send({"data": {"instance": health, "workspaceOrError": self.workspace}})

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _send(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def web_server() -> Iterator[str]:
    _set([LOADED], [True])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _WebServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield base_url("127.0.0.1", server.server_address[1])
    server.shutdown()
    server.server_close()


def _set(locations: list[dict[str, Any] | None], healthy: list[bool | None], required: bool = True) -> None:
    entries = [{"locationOrLoadError": location} for location in locations]
    _WebServer.workspace = {"__typename": "Workspace", "locationEntries": entries}
    _WebServer.daemons = [{"daemonType": "D", "required": required, "healthy": state} for state in healthy]


def test_dagster_is_ready_with_its_definitions_and_daemons(web_server: str):
    assert dagster_ready(web_server)


def test_readiness_checks_ignore_a_proxy_in_the_environment(web_server: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert dagster_ready(web_server)


@pytest.mark.parametrize("healthy", [[True, False], [None]])
def test_a_daemon_that_is_not_healthy_yet_is_waited_for(web_server: str, healthy: list[bool | None]):
    _set([LOADED], healthy)
    assert not dagster_ready(web_server)


def test_a_daemon_that_is_not_required_is_not_waited_for(web_server: str):
    _set([LOADED], [None], required=False)
    assert dagster_ready(web_server)


@pytest.mark.parametrize("locations", [[], [None]])
def test_definitions_that_are_not_loaded_yet_are_waited_for(web_server: str, locations: list[None]):
    _set(list(locations), [True])
    assert not dagster_ready(web_server)


def test_definitions_that_cannot_be_loaded_are_an_error_with_its_reason(web_server: str):
    _set([BROKEN], [True])
    with pytest.raises(StackError, match=r"the definitions cannot be loaded: ImportError: no such module$"):
        dagster_ready(web_server)


def test_a_workspace_that_cannot_be_read_is_an_error(web_server: str):
    _WebServer.workspace = BROKEN
    with pytest.raises(StackError, match="no such module"):
        dagster_ready(web_server)


def test_a_missing_web_server_is_not_ready():
    assert not dagster_ready("http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("0.0.0.0", "http://127.0.0.1:3000"),
        ("::", "http://[::1]:3000"),
        ("::1", "http://[::1]:3000"),
        ("localhost", "http://localhost:3000"),
    ],
)
def test_the_url_is_one_that_this_machine_reaches(host: str, url: str):
    assert base_url(host, 3000) == url


def test_a_socket_answers_while_a_server_listens(home: Path):
    path = home / "socket"
    assert not socket_answers(path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert not socket_answers(path)
        server.listen()
        assert socket_answers(path)
    assert not socket_answers(path)


def test_live_workers_of_this_machine_are_found_by_process():
    with cloned_database() as url:
        with psycopg.connect(url) as connection:
            _register(connection, "gpu", this_place(), os.getpid(), "starting", seconds_ago=0)
            _register(connection, "dead", this_place(), 1, "idle", seconds_ago=60)
            # A container with the name of this host.
            _register(connection, "far", "another-place", 2, "idle", seconds_ago=0)
        assert local_worker_states(url, stale_seconds=8) == {os.getpid(): "starting"}


def test_without_a_database_no_worker_is_known():
    assert local_worker_states("postgresql://user@127.0.0.1:1/db", stale_seconds=8) == {}


def _register(connection: psycopg.Connection, name: str, place: str, pid: int, state: str, *, seconds_ago: int) -> None:
    connection.execute(
        "INSERT INTO transcription_workers (name, kind, host, place, pid, state, seen_at)"
        " VALUES (%s, 'gpu', 'here', %s, %s, %s, now() - make_interval(secs => %s))",
        (name, place, pid, state, seconds_ago),
    )
