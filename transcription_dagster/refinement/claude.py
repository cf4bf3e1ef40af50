"""Claude through the Messages API, one request at a time or in Message Batches, and the anthropic SDK.

The SDK handles credentials, base URL and retries. A Message Batch holds many requests at half the price; it is answered
within a day and kept for a month.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from transcription_dagster.errors import (
    AnswerLost,
    RefinementFailed,
    RefinementUnavailable,
    SpendLimitReached,
    TranscriptionError,
    UnknownToClaude,
)
from transcription_dagster.refinement.messages import (
    BatchProgress,
    BatchResult,
    MessageReply,
    MessageRequest,
    SubmittedBatch,
    TokenUsage,
)

if TYPE_CHECKING:
    import anthropic
    from anthropic.types import Message, TextBlockParam
    from anthropic.types import Usage as BilledUsage
    from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
    from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

T = TypeVar("T")

#: The SDK's folder with credentials, below the user's home.
_SDK_FOLDER = (".config", "anthropic")
#: Retries by the SDK, which waits as long as the API asks, or backs off exponentially.
RETRIES = 4
#: Seconds per attempt; an answer of the requested length takes a few minutes at most.
TIMEOUT_SECONDS = 600.0

#: Suffix of the API's error codes for the spend limits of a tier, a contract and a linked organisation.
_SPEND_LIMIT_CODE = "spend_limit_reached"
_PAYMENT_REQUIRED = 402
#: Part of the message, in lower case, with which the API refuses requests of an account without prepaid credits
#: (status 400, like any invalid request).
_NO_CREDITS = "credit balance is too low"
_NOT_FOUND = 404
_RATE_LIMIT = 429
_CREDENTIALS = frozenset({401, 403})
#: Errors of the SDK's HTTP client that occur before a request is sent.
_BEFORE_SENDING = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})
_RETRYABLE = frozenset({408, 409, _RATE_LIMIT})
_SERVER_ERRORS = 500
#: Length to which the API's explanation is shortened, in characters.
_EXPLANATION = 300


class Claude:
    """A connection to Claude. Safe to use from several threads."""

    def __init__(self, sdk: anthropic.Anthropic) -> None:
        self.sdk = sdk

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the strings that must not appear in any message."""
        return tuple(secret for secret in (self.sdk.api_key, self.sdk.auth_token) if secret)

    def send(self, request: MessageRequest) -> MessageReply:
        """Send one request and wait for its reply; the SDK retries transient errors.

        Raises `RefinementUnavailable`, `SpendLimitReached` or `RefinementFailed`, without secrets in their messages.
        """
        return _own_errors(lambda: _reply_of(self.sdk.messages.create(**_message_params(request))), self.secrets)


def has_credentials() -> bool:
    """Return whether the SDK finds credentials for Claude."""
    return connect() is not None


def connect(*, retries: int = RETRIES, timeout: float = TIMEOUT_SECONDS) -> Claude | None:
    """Connect with the credentials that the SDK finds (`ANTHROPIC_API_KEY` first); return None if there are none.

    Only the SDK reads them and `ANTHROPIC_BASE_URL`. Raises `RefinementFailed` if credentials exist but cannot be
    loaded.
    """
    if not _credentials_may_exist():
        return None
    import anthropic

    sdk = _own_errors(
        lambda: anthropic.Anthropic(max_retries=retries, timeout=timeout, middleware=[_stop_at_spend_limit]), ()
    )
    has_credentials = sdk.api_key or sdk.auth_token or sdk.credentials
    return Claude(sdk) if has_credentials else None


def _credentials_may_exist() -> bool:
    """Return whether one of the SDK's variables is set, or its folder exists: it looks for credentials nowhere else.

    Importing the SDK to find none takes a second and 40 MB in every process.
    """
    return any(name.startswith("ANTHROPIC_") for name in os.environ) or Path.home().joinpath(*_SDK_FOLDER).exists()


def _message_params(request: MessageRequest) -> MessageCreateParamsNonStreaming:
    """Return the body of a request.

    It has no sampling parameters, no prefilled answer and no tools: current models reject the first two, and some
    reject forced tool calls. The last part of the system prompt ends the cached prefix.
    """
    *opening, last = request.system
    system: list[TextBlockParam] = [{"type": "text", "text": part} for part in opening]
    system.append({"type": "text", "text": last, "cache_control": {"type": "ephemeral", "ttl": request.cache}})
    params: MessageCreateParamsNonStreaming = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "system": system,
        "messages": [{"role": "user", "content": request.user}],
        "output_config": {"format": {"type": "json_schema", "schema": dict(request.schema)}},
    }
    if request.effort is not None:
        params["output_config"] = {**params["output_config"], "effort": request.effort}
    return params


def _reply_of(message: Message) -> MessageReply:
    """Return the text of a message: only its text blocks, because the first block may be the model's thinking.

    Raises `RefinementUnavailable` for anything but a message: the SDK does not validate responses with status 200.
    """
    if getattr(message, "type", None) != "message" or not message.usage:
        raise RefinementUnavailable("Claude's answer was not a message of its API")
    text = "".join(block.text for block in message.content or () if block.type == "text")
    return MessageReply(text, message.stop_reason or "", _usage(message.usage), message.model)


def _usage(billed: BilledUsage) -> TokenUsage:
    creation = billed.cache_creation
    written_1h = creation.ephemeral_1h_input_tokens if creation else 0
    written = billed.cache_creation_input_tokens or 0
    return TokenUsage(
        input=billed.input_tokens,
        output=billed.output_tokens,
        cache_read=billed.cache_read_input_tokens or 0,
        cache_write_5m=max(written - written_1h, 0),
        cache_write_1h=written_1h,
    )


def _stop_at_spend_limit(request: Any, call_next: Callable[[Any], Any]) -> Any:
    """SDK middleware that stops retries when a spend limit is reached.

    The API reports a spend limit with status 429, which the SDK would retry like any rate limit.
    """
    response = call_next(request)
    if response.status_code == _PAYMENT_REQUIRED or _names_spend_limit(response):
        raise SpendLimitReached
    return response


def _own_errors(call: Callable[[], T], secrets: Sequence[str]) -> T:
    """Return the result of `call`, raising the program's errors in place of the SDK's.

    They are raised without cause or context: the SDK's exception holds the request, whose headers hold the key.
    `secrets` are removed from explanations that come from outside.
    """
    import anthropic

    try:
        return call()
    except (anthropic.AnthropicError, json.JSONDecodeError) as error:
        failure = _translated(error, secrets)
    raise failure


def _translated(error: Exception, secrets: Sequence[str]) -> TranscriptionError:
    import anthropic

    if isinstance(error, anthropic.APIConnectionError):
        if type(error.__cause__).__name__ in _BEFORE_SENDING:
            return RefinementUnavailable("Claude cannot be reached: the connection failed")
        if isinstance(error, anthropic.APITimeoutError):
            return AnswerLost("Claude did not answer in time")
        return AnswerLost("the connection to Claude was lost before its answer arrived")
    if isinstance(error, anthropic.APIStatusError):
        return _of_status(error, secrets)
    if isinstance(error, anthropic.CredentialsError):
        return RefinementFailed("the credentials for Claude cannot be loaded")
    return RefinementUnavailable("Claude's answer was not a message of its API")


def _of_status(error: anthropic.APIStatusError, secrets: Sequence[str]) -> TranscriptionError:
    description = f"{error.status_code}{_explanation(error.api_message, secrets)}"
    if error.request_id:
        description += f" (request {error.request_id})"
    if error.status_code in _RETRYABLE or error.status_code >= _SERVER_ERRORS:
        return RefinementUnavailable(f"Claude answered {description}")
    if error.status_code in _CREDENTIALS:
        return RefinementFailed(f"Claude refused the credentials: {description}; check ANTHROPIC_API_KEY")
    if _NO_CREDITS in (error.api_message or "").lower():
        return SpendLimitReached(
            f"The Anthropic account has no credits left: buy some, then retry the failed recordings ({description})"
        )
    failure = UnknownToClaude if error.status_code == _NOT_FOUND else RefinementFailed
    return failure(f"Claude refused the request: {description}")


def _names_spend_limit(response: Any) -> bool:
    if response.status_code != _RATE_LIMIT:
        return False
    response.read()
    try:
        body = response.json()
    except json.JSONDecodeError:
        return False
    return str(_inside(body, "error", "details", "error_code")).endswith(_SPEND_LIMIT_CODE)


def _inside(document: object, *keys: str) -> object:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _explanation(text: str | None, secrets: Sequence[str]) -> str:
    if not text:
        return ""
    for secret in secrets:
        text = text.replace(secret, "***")
    return f", {text[:_EXPLANATION]!r}"


#: Errors of single requests that are not the request's fault.
_RETRYABLE_TYPES = frozenset({"api_error", "overloaded_error", "rate_limit_error", "timeout_error"})


class ClaudeBatches:
    """Sends Message Batches. Every method raises as `Claude.send` does."""

    def __init__(self, claude: Claude) -> None:
        self._claude = claude
        self._batches = claude.sdk.messages.batches

    def submit(self, requests: Mapping[str, MessageRequest]) -> str:
        """Submit requests by custom id (1 to 64 letters, digits, `_` and `-`); return the batch's id."""
        listed = [{"custom_id": name, "params": _message_params(request)} for name, request in requests.items()]
        return _own_errors(lambda: self._batches.create(requests=listed).id, self._claude.secrets)  # type: ignore[arg-type]

    def poll(self, batch_id: str) -> BatchProgress:
        """Return a batch's progress. Raises `UnknownToClaude` if there is no such batch."""
        batch = self._retrieve(batch_id)
        counts = batch.request_counts
        return BatchProgress(
            ended=batch.processing_status == "ended",
            processing=counts.processing,
            succeeded=counts.succeeded,
            errored=counts.errored,
            canceled=counts.canceled,
            expired=counts.expired,
        )

    def results(self, batch_id: str) -> Iterator[BatchResult]:
        """Yield the results of an ended batch, in arbitrary order.

        Raises `RefinementUnavailable` before it ends, and `UnknownToClaude` after a month, when the results are gone.
        """
        batch = self._retrieve(batch_id)
        if batch.processing_status != "ended":
            raise RefinementUnavailable(f"the batch {batch_id} has not ended")
        if batch.results_url is None:
            raise UnknownToClaude(f"the results of the batch {batch_id} are no longer kept")
        lines = _own_errors(lambda: self._batches.results(batch_id), self._claude.secrets)
        while (line := _own_errors(lambda: next(lines, None), self._claude.secrets)) is not None:
            yield _result(line)

    def recent(self, since: datetime) -> Iterator[SubmittedBatch]:
        """Yield all batches submitted since a moment in the account's workspace, newest first."""
        batches = _own_errors(lambda: iter(self._batches.list(limit=100)), self._claude.secrets)
        while (batch := _own_errors(lambda: next(batches, None), self._claude.secrets)) is not None:
            if batch.created_at < since:
                return
            counts = batch.request_counts
            requests = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
            yield SubmittedBatch(batch.id, requests, batch.processing_status == "ended")

    def _retrieve(self, batch_id: str) -> MessageBatch:
        return _own_errors(lambda: self._batches.retrieve(batch_id), self._claude.secrets)


def _result(line: MessageBatchIndividualResponse) -> BatchResult:
    result = line.result
    if result.type == "succeeded":
        return BatchResult(line.custom_id, _reply_of(result.message))
    if result.type == "errored":
        kind = result.error.error.type
        return BatchResult(line.custom_id, None, f"Claude answered {kind}", retryable=kind in _RETRYABLE_TYPES)
    return BatchResult(line.custom_id, None, f"the request {result.type} before it was answered", retryable=True)
