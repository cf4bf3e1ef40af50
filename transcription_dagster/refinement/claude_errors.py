"""Translate the SDK's errors into the program's own, without any content of the request."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from transcription_dagster.errors import RefinementFailed, RefinementUnavailable, SpendLimitReached, TranscriptionError

if TYPE_CHECKING:
    import anthropic

T = TypeVar("T")

#: Suffix of the API's error codes for the spend limits of a tier, a contract and a linked organisation.
_SPEND_LIMIT_CODE = "spend_limit_reached"
_PAYMENT_REQUIRED = 402
_RATE_LIMIT = 429
_CREDENTIALS = frozenset({401, 403})
_RETRYABLE = frozenset({408, 409, _RATE_LIMIT})
_SERVER_ERRORS = 500
#: Length to which the API's explanation is shortened, in characters.
_EXPLANATION = 300


def stop_at_spend_limit(request: Any, call_next: Callable[[Any], Any]) -> Any:
    """SDK middleware that stops retries when a spend limit is reached.

    The API reports a spend limit with status 429, which the SDK would retry like any rate limit.
    """
    response = call_next(request)
    if response.status_code == _PAYMENT_REQUIRED or _names_spend_limit(response):
        raise SpendLimitReached
    return response


def own_errors(call: Callable[[], T], secrets: Sequence[str]) -> T:
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

    if isinstance(error, anthropic.APITimeoutError):
        return RefinementUnavailable("Claude did not answer in time")
    if isinstance(error, anthropic.APIConnectionError):
        return RefinementUnavailable("Claude cannot be reached: the connection failed")
    if isinstance(error, anthropic.APIStatusError):
        return _of_status(error, secrets)
    if isinstance(error, anthropic.CredentialsError):
        return RefinementFailed("the credentials for Claude cannot be loaded")
    return RefinementUnavailable("Claude's answer was not a message of its API")


def _of_status(error: anthropic.APIStatusError, secrets: Sequence[str]) -> TranscriptionError:
    said = f"{error.status_code}{_explanation(error.api_message, secrets)}"
    if error.request_id:
        said += f" (request {error.request_id})"
    if error.status_code in _RETRYABLE or error.status_code >= _SERVER_ERRORS:
        return RefinementUnavailable(f"Claude answered {said}")
    refused = "credentials" if error.status_code in _CREDENTIALS else "request"
    return RefinementFailed(f"Claude refused the {refused}: {said}")


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
