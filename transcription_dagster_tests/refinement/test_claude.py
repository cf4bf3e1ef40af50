"""The connection to Claude, through the real SDK against a local server."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_dagster.errors import (
    AnswerLost,
    RefinementFailed,
    RefinementUnavailable,
    SpendLimitReached,
    TranscriptionError,
)
from transcription_dagster.refinement import claude as claude_module
from transcription_dagster.refinement.claude import Claude, connect
from transcription_dagster.refinement.messages import MessageRequest, TokenUsage
from transcription_dagster_tests.messages_server import KEY, MessagesServer, Reply, error, message, messages_server

REQUEST = MessageRequest(
    model="claude-test",
    system=("Proofread.", "Vocabulary."),
    user="[0] one two",
    schema={"type": "object", "additionalProperties": False, "properties": {}},
    max_tokens=1000,
    effort="low",
)
AT_ONCE = {"retry_after_ms": "1"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesServer]:
    with messages_server(monkeypatch) as running:
        yield running


def connected(*, retries: int = 2, timeout: float = 20.0) -> Claude:
    claude = connect(retries=retries, timeout=timeout)
    assert claude is not None
    return claude


def test_a_request_has_only_parameters_that_current_models_accept(
    server: MessagesServer,
) -> None:
    connected().send(REQUEST)
    [body] = server.requests
    assert body["system"] == [
        {"type": "text", "text": "Proofread."},
        {"type": "text", "text": "Vocabulary.", "cache_control": {"type": "ephemeral", "ttl": "5m"}},
    ]
    assert body["messages"] == [{"role": "user", "content": "[0] one two"}]
    assert body["output_config"]["effort"] == "low"
    assert body["output_config"]["format"] == {"type": "json_schema", "schema": REQUEST.schema}
    assert set(body) == {"model", "max_tokens", "system", "messages", "output_config"}


def test_the_answer_is_the_text_behind_the_thinking(server: MessagesServer) -> None:
    server.answer = lambda body: message("{}", thinking=True)
    assert connected().send(REQUEST).text == "{}"


def test_tokens_are_counted_by_billing_kind(server: MessagesServer) -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
    }
    server.answer = lambda body: message("{}", usage=usage)
    assert connected().send(REQUEST).usage == TokenUsage(10, 20, 30, 3, 4)


def test_without_credentials_there_is_no_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "ANTHROPIC_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    # A variable of the SDK that is no credential makes it look for some.
    monkeypatch.setenv("ANTHROPIC_LOG", "info")
    assert connect() is None
    monkeypatch.delenv("ANTHROPIC_LOG")
    # Without any, it is not even imported.
    monkeypatch.setitem(sys.modules, "anthropic", None)
    assert connect() is None


def test_the_sdk_looks_for_credentials_only_where_the_program_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from anthropic.lib.credentials import _constants

    variables = {value for name, value in vars(_constants).items() if name.startswith("ENV_")}
    assert "ANTHROPIC_API_KEY" in variables
    assert not [name for name in variables if not name.startswith("ANTHROPIC_")]
    monkeypatch.delenv("ANTHROPIC_CONFIG_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _constants._config_dir() == tmp_path.joinpath(*claude_module._SDK_FOLDER)


@pytest.mark.parametrize(
    "trouble",
    [
        error(429, "rate_limit_error", **AT_ONCE),
        error(529, "overloaded_error", **AT_ONCE),
        error(500, "api_error", **AT_ONCE),
        error(408, "timeout_error", **AT_ONCE),
    ],
    ids=lambda reply: str(reply.status),
)
def test_the_sdk_retries_temporary_failures(server: MessagesServer, trouble: Reply) -> None:
    server.answer_in_turn(trouble, trouble, message("{}"))
    assert connected().send(REQUEST).text == "{}"
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "trouble",
    [error(429, "rate_limit_error", **AT_ONCE), error(529, "overloaded_error", **AT_ONCE), Reply(hang_up=True)],
    ids=["429", "529", "cut"],
)
def test_a_lasting_failure_is_transient(server: MessagesServer, trouble: Reply) -> None:
    server.answer_in_turn(trouble)
    with pytest.raises(RefinementUnavailable):
        connected(retries=1).send(REQUEST)
    assert len(server.requests) == 2


def test_a_timed_out_answer_is_transient(server: MessagesServer) -> None:
    released = threading.Event()
    server.answer = lambda body: Reply(body={}, wait_for=released)
    with pytest.raises(AnswerLost, match="in time"):
        connected(retries=0, timeout=0.2).send(REQUEST)
    released.set()


@pytest.mark.parametrize("code", ["enforced_spend_limit_reached", "contract_spend_limit_reached"])
def test_a_spend_limit_is_not_retried(server: MessagesServer, code: str) -> None:
    server.answer_in_turn(error(429, "rate_limit_error", code=code, **AT_ONCE))
    with pytest.raises(SpendLimitReached, match="raise it, then retry"):
        connected().send(REQUEST)
    assert len(server.requests) == 1


def test_unpaid_bills_stop_refinement_too(server: MessagesServer) -> None:
    server.answer_in_turn(error(402, "billing_error"))
    with pytest.raises(SpendLimitReached):
        connected().send(REQUEST)


def test_an_account_without_credits_stops_refinement_and_says_what_to_do(server: MessagesServer) -> None:
    text = (
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to purchase credits."
    )
    server.answer_in_turn(error(400, "invalid_request_error", text=text))
    with pytest.raises(SpendLimitReached, match="no credits left: buy some, then retry"):
        connected().send(REQUEST)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 404, 413])
def test_a_refused_request_fails_at_once_and_says_why(server: MessagesServer, status: int) -> None:
    server.answer_in_turn(error(status, "invalid_request_error", text="model: not found"))
    with pytest.raises(RefinementFailed, match=rf"request: {status}, 'model: not found' \(request req_1\)"):
        connected().send(REQUEST)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body", [b'{"id": "msg_1", "content": [', b"{}", b"[]", b"<html>"], ids=["half", "empty", "list", "page"]
)
def test_an_invalid_message_is_transient(server: MessagesServer, body: bytes) -> None:
    server.answer_in_turn(Reply(body=body))
    with pytest.raises(RefinementUnavailable, match="not a message"):
        connected(retries=0).send(REQUEST)


def test_the_key_appears_in_no_message_traceback_or_log(
    server: MessagesServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wrong_key = KEY.replace("test", "secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", wrong_key)
    claude = connected()
    with caplog.at_level(logging.INFO), pytest.raises(TranscriptionError, match="credentials: 401") as caught:
        claude.send(REQUEST)
    traceback_text = "".join(traceback.format_exception(caught.value))
    assert wrong_key not in traceback_text + repr(caught.value) + repr(claude) + repr(vars(claude)) + caplog.text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
