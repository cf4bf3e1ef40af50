"""What is asked of a language model and what it answers, without the library that carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Effort = Literal["low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """One question with a structured answer."""

    model: str
    #: The parts of the system prompt; together they are a prefix worth caching, the same bytes in every request.
    system: tuple[str, ...]
    user: str
    #: JSON schema of the answer.
    schema: Mapping[str, Any]
    #: Tokens of the answer, thinking included.
    max_tokens: int
    #: None: the model's own.
    effort: Effort | None = None
    #: How long the prefix stays cached.
    cache: Literal["5m", "1h"] = "5m"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as they are billed."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write_5m + other.cache_write_5m,
            self.cache_write_1h + other.cache_write_1h,
        )


@dataclass(frozen=True, slots=True)
class MessageReply:
    """What came back: the text of the answer and why it ended."""

    text: str
    #: As the Messages API names it: end_turn, max_tokens, refusal, ...
    stop_reason: str
    usage: Usage
    #: The model that answered, by its full name.
    model: str


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a million tokens."""

    input: float
    output: float
    cache_read: float

    #: Prices of writing to the cache, as multiples of the input's, and of a batch, as a multiple of everything
    #: (platform.claude.com, prompt caching and batch processing).
    _WRITE_5M = 1.25
    _WRITE_1H = 2.0
    _BATCH = 0.5

    def dollars(self, usage: Usage, *, batch: bool = False) -> float:
        """What the tokens cost."""
        written = self._WRITE_5M * usage.cache_write_5m + self._WRITE_1H * usage.cache_write_1h
        total = self.input * (usage.input + written) + self.output * usage.output + self.cache_read * usage.cache_read
        return total / 1_000_000 * (self._BATCH if batch else 1.0)


class MessageSender(Protocol):
    """Whatever carries a request to a model and brings its reply back."""

    def send(self, request: MessageRequest) -> MessageReply:
        """Send one request and wait for its reply.

        Raises `RefinementUnavailable`, `SpendLimitReached` or `RefinementFailed`.
        """
        ...


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one request of a batch: a reply, or the reason why there is none."""

    custom_id: str
    reply: MessageReply | None
    problem: str = ""
    #: Whether the same request may succeed in another batch.
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is."""

    ended: bool
    #: Requests that are not finished, and those that ended in each way; all but the first are 0 until the batch ends.
    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A batch that was handed in, as the API lists it."""

    id: str
    requests: int
    #: Whether it has ended, so that its results can be read.
    ended: bool


class BatchSender(Protocol):
    """Whatever takes many requests at once and has their replies within a day."""

    def submit(self, requests: Mapping[str, MessageRequest]) -> str:
        """Hand in requests by custom id; returns the batch's id. Raises as `MessageSender.send` does."""
        ...
