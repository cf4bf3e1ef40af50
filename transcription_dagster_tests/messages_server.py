"""A local server with the Messages API and Message Batches, for the real SDK."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

KEY = "sk-ant-test-0123456789"
_INDEX = re.compile(r"\[(\d+)\] ")
_FORBIDDEN = ("temperature", "top_p", "top_k", "tool_choice", "stop_sequences")
_UNSUPPORTED_IN_SCHEMAS = ("minimum", "maximum", "minLength", "maxLength", "pattern", "$ref")


@dataclass(frozen=True)
class Reply:
    """The server's reply to one message."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Cut the connection instead of answering.
    hang_up: bool = False
    #: Answer only when this is set.
    wait_for: threading.Event | None = None


def message(text: str, *, stop_reason: str = "end_turn", thinking: bool = False, usage: Any = None) -> Reply:
    """A message with one text block, after a thinking block if asked for."""
    content: list[dict[str, str]] = [{"type": "text", "text": text}] if text else []
    if thinking:
        content.insert(0, {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"})
    return Reply(
        body={
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-test",
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": usage or {"input_tokens": 1000, "output_tokens": 100},
        }
    )


def edits(*proposals: tuple[int, int, str, str, str], topics: Sequence[int] = (), **options: Any) -> Reply:
    """A message that proposes edits, each (first, last, old, new, kind)."""
    listed = [dict(zip(("first", "last", "old", "new", "kind"), fields, strict=True)) for fields in proposals]
    return message(json.dumps({"edits": listed, "topics": list(topics)}), **options)


def error(status: int, kind: str, *, code: str | None = None, text: str = "no", **headers: str) -> Reply:
    """An error as the API words it; header names are given with underscores."""
    details = {"details": {"error_code": code}} if code else {}
    body = {"type": "error", "error": {"type": kind, "message": text, **details}, "request_id": "req_1"}
    return Reply(status, body, {"request-id": "req_1"} | {key.replace("_", "-"): headers[key] for key in headers})


def shown_words(body: Mapping[str, Any]) -> dict[int, str]:
    """Return the words in a request by index, parsed as the model is told to parse them."""
    content = body["messages"][-1]["content"]
    transcript = content.split("<transcript>\n", 1)[1].rsplit("\n</transcript>", 1)[0]
    pieces = _INDEX.split(transcript)[1:]
    words: dict[int, str] = {}
    for first, text in zip(pieces[::2], pieces[1::2], strict=True):
        words.update(enumerate(text.split(), start=int(first)))
    return words


class MessagesServer:
    """The server; `requests` holds the bodies of the received messages, in order."""

    def __init__(self) -> None:
        self.answer: Callable[[dict[str, Any]], Reply] = lambda body: edits()
        self.requests: list[dict[str, Any]] = []
        #: Results by custom id that replace the answer: expired, canceled, or an error type.
        self.batch_failures: dict[str, str] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def answer_in_turn(self, *replies: Reply) -> None:
        """Answer with each reply once, and with the last one from then on."""
        remaining = list(replies)

        def following(body: dict[str, Any]) -> Reply:
            with self._lock:
                return remaining.pop(0) if len(remaining) > 1 else remaining[0]

        self.answer = following

    def reply_to(self, body: dict[str, Any]) -> Reply:
        with self._lock:
            self.requests.append(body)
        return _objection(body) or self.answer(body)

    def create_batch(self, requests: Sequence[dict[str, Any]]) -> Reply:
        ids = [request["custom_id"] for request in requests]
        if len(set(ids)) < len(ids) or not all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", custom_id) for custom_id in ids):
            return error(400, "invalid_request_error", text="custom_id")
        batch = {
            "id": f"msgbatch_{len(self.batches) + 1}",
            "requests": list(requests),
            "ended": False,
            "created_at": datetime.now(UTC),
        }
        self.batches[batch["id"]] = batch
        return Reply(body=self._described(batch))

    def end_batch(self, batch_id: str) -> None:
        self.batches[batch_id]["ended"] = True

    def described_batch(self, batch_id: str) -> Reply:
        return Reply(body=self._described(self.batches[batch_id]))

    def listed_batches(self) -> Reply:
        """All batches as one page, newest first."""
        newest_first = [self._described(batch) for batch in reversed(self.batches.values())]
        return Reply(body={"data": newest_first, "has_more": False, "first_id": None, "last_id": None})

    def batch_results(self, batch_id: str) -> Reply:
        """The results, not in the order of the requests."""
        lines = [
            json.dumps({"custom_id": request["custom_id"], "result": self._result(request)})
            for request in reversed(self.batches[batch_id]["requests"])
        ]
        return Reply(body="\n".join(lines).encode(), headers={"content-type": "application/x-jsonl"})

    def _result(self, request: Mapping[str, Any]) -> dict[str, Any]:
        failure = self.batch_failures.get(request["custom_id"])
        if failure in {"expired", "canceled"}:
            return {"type": failure}
        if failure:
            return {"type": "errored", "error": error(500, failure).body}
        reply = self.reply_to(request["params"])
        kind, name = ("succeeded", "message") if reply.status == 200 else ("errored", "error")
        return {"type": kind, name: reply.body}

    def _described(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        counts = dict.fromkeys(("canceled", "errored", "expired", "processing", "succeeded"), 0)
        counts["succeeded" if batch["ended"] else "processing"] = len(batch["requests"])
        return {
            "id": batch["id"],
            "type": "message_batch",
            "processing_status": "ended" if batch["ended"] else "in_progress",
            "request_counts": counts,
            "created_at": batch["created_at"].isoformat(),
            "expires_at": (batch["created_at"] + timedelta(days=1)).isoformat(),
            "ended_at": batch["created_at"].isoformat() if batch["ended"] else None,
            "results_url": f"{self.url}/v1/messages/batches/{batch['id']}/results" if batch["ended"] else None,
        }

    url = ""


@contextmanager
def messages_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesServer]:
    """Run a server, and point the SDK at it with a key that it accepts."""
    state = MessagesServer()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("ANTHROPIC_BASE_URL", state.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    for name in ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    try:
        yield state
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def _objection(body: Mapping[str, Any]) -> Reply | None:
    """Return the reason for which the API would refuse the request with status 400."""
    schema = json.dumps(body.get("output_config", {}).get("format", {}))
    unsupported = [name for name in _FORBIDDEN if name in body]
    unsupported += [f"{name} in a schema" for name in _UNSUPPORTED_IN_SCHEMAS if f'"{name}"' in schema]
    if body["messages"][-1]["role"] != "user":
        unsupported.append("prefill")
    if schema.count('"type": "object"') != schema.count('"additionalProperties": false'):
        unsupported.append("an object without additionalProperties: false")
    return error(400, "invalid_request_error", text=f"not supported: {', '.join(unsupported)}") if unsupported else None


def _handler(state: MessagesServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if not self._authorised():
                return
            if self.path == "/v1/messages":
                self._send(state.reply_to(body))
            else:
                self._send(state.create_batch(body["requests"]))

        def do_GET(self) -> None:
            if not self._authorised():
                return
            if urlsplit(self.path).path == "/v1/messages/batches":
                self._send(state.listed_batches())
                return
            _, _, tail = self.path.partition("/v1/messages/batches/")
            batch_id, _, results = tail.partition("/")
            if batch_id not in state.batches:
                self._send(error(404, "not_found_error"))
            else:
                self._send(state.batch_results(batch_id) if results else state.described_batch(batch_id))

        def _authorised(self) -> bool:
            sent_key = self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")
            if sent_key != KEY:
                # A careless server: it repeats the key that it refuses.
                self._send(error(401, "authentication_error", text=f"invalid key {sent_key}"))
            return sent_key == KEY

        def _send(self, reply: Reply) -> None:
            if reply.wait_for is not None:
                reply.wait_for.wait(timeout=30)
            if reply.hang_up:
                self.close_connection = True
                return
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in ({"content-type": "application/json"} | dict(reply.headers)).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
