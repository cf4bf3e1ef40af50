"""Claude through the Messages API and the anthropic SDK, which handles credentials, base URL and retries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transcription_dagster.refinement.claude_errors import own_errors, stop_at_spend_limit
from transcription_dagster.refinement.claude_messages import message_params, reply_of
from transcription_dagster.refinement.messages import MessageReply, MessageRequest

if TYPE_CHECKING:
    import anthropic

#: Retries by the SDK, which waits as long as the API asks, or backs off exponentially.
RETRIES = 4
#: Seconds per attempt; an answer of the requested length takes a few minutes at most.
TIMEOUT_SECONDS = 600.0


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
        return own_errors(lambda: reply_of(self.sdk.messages.create(**message_params(request))), self.secrets)


def has_credentials() -> bool:
    """Return whether the SDK finds credentials for Claude."""
    return connect() is not None


def connect(*, retries: int = RETRIES, timeout: float = TIMEOUT_SECONDS) -> Claude | None:
    """Connect with the credentials that the SDK finds (`ANTHROPIC_API_KEY` first); return None if there are none.

    Only the SDK reads them and `ANTHROPIC_BASE_URL`. Raises `RefinementFailed` if credentials exist but cannot be
    loaded.
    """
    import anthropic

    sdk = own_errors(
        lambda: anthropic.Anthropic(max_retries=retries, timeout=timeout, middleware=[stop_at_spend_limit]), ()
    )
    has_credentials = sdk.api_key or sdk.auth_token or sdk.credentials
    return Claude(sdk) if has_credentials else None
