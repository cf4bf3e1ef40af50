"""Claude through the Messages API, by the anthropic SDK: its credentials, its base URL and its retries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transcription_dagster.refinement.claude_errors import own_errors, stop_at_spend_limit
from transcription_dagster.refinement.claude_messages import message_params, reply_of
from transcription_dagster.refinement.messages import MessageReply, MessageRequest

if TYPE_CHECKING:
    import anthropic

#: Tries after the first one. The SDK waits between them, as long as the API asks for or longer and longer.
RETRIES = 4
#: Seconds for one try; an answer of the length that is asked for takes a few minutes at most.
TIMEOUT_SECONDS = 600.0


class Claude:
    """A connection to Claude; safe to use from several threads."""

    def __init__(self, sdk: anthropic.Anthropic) -> None:
        self.sdk = sdk

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be repeated in any message."""
        return tuple(secret for secret in (self.sdk.api_key, self.sdk.auth_token) if secret)

    def send(self, request: MessageRequest) -> MessageReply:
        """Send one request and wait for its reply; the SDK tries again where that may help.

        Raises `RefinementUnavailable`, `SpendLimitReached` or `RefinementFailed`, none of which repeats a secret.
        """
        return own_errors(lambda: reply_of(self.sdk.messages.create(**message_params(request))), self.secrets)


def has_credentials() -> bool:
    """Whether the SDK finds credentials for Claude."""
    return connect() is not None


def connect(*, retries: int = RETRIES, timeout: float = TIMEOUT_SECONDS) -> Claude | None:
    """Return a connection with the credentials that the SDK finds (`ANTHROPIC_API_KEY` first); None without any.

    The SDK alone reads them, and `ANTHROPIC_BASE_URL`. Raises `RefinementFailed` if it finds some and cannot load
    them.
    """
    import anthropic

    sdk = own_errors(
        lambda: anthropic.Anthropic(max_retries=retries, timeout=timeout, middleware=[stop_at_spend_limit]), ()
    )
    has_credentials = sdk.api_key or sdk.auth_token or sdk.credentials
    return Claude(sdk) if has_credentials else None
