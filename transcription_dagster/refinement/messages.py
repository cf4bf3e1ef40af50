"""Requests to and replies from a language model, independent of the client library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

Effort = Literal["low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """A request for a structured answer."""

    model: str
    #: The parts of the system prompt, identical in every request and therefore cached.
    system: tuple[str, ...]
    user: str
    #: JSON schema of the answer.
    schema: Mapping[str, Any]
    #: Maximum tokens of the answer, including thinking.
    max_tokens: int
    #: None for the model's default.
    effort: Effort | None = None
    #: Cache lifetime of the prefix.
    cache: Literal["5m", "1h"] = "5m"


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Billed tokens."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write_5m + other.cache_write_5m,
            self.cache_write_1h + other.cache_write_1h,
        )


@dataclass(frozen=True, slots=True)
class MessageReply:
    """A reply: its text and stop reason."""

    text: str
    #: As in the Messages API: end_turn, max_tokens, refusal, ...
    stop_reason: str
    usage: TokenUsage
    #: Full name of the model that answered.
    model: str

    def to_json(self) -> dict[str, Any]:
        """Return the reply as JSON values, without the NUL character, which Postgres rejects."""
        return {**asdict(self), "text": self.text.replace("\0", "")}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> MessageReply:
        """Parse what `to_json` returns."""
        return cls(**{**document, "usage": TokenUsage(**document["usage"])})


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens."""

    input: float
    output: float
    cache_read: float

    #: Price of cache writes as a multiple of the input price, and of batches as a multiple of everything
    #: (platform.claude.com, prompt caching and batch processing).
    _WRITE_5M = 1.25
    _WRITE_1H = 2.0
    _BATCH = 0.5

    def dollars(self, usage: TokenUsage, *, batch: bool = False) -> float:
        """Return the cost of the tokens in dollars."""
        written = self._WRITE_5M * usage.cache_write_5m + self._WRITE_1H * usage.cache_write_1h
        total = self.input * (usage.input + written) + self.output * usage.output + self.cache_read * usage.cache_read
        return total / 1_000_000 * (self._BATCH if batch else 1.0)


class MessageSender(Protocol):
    """Sends requests to a model."""

    def send(self, request: MessageRequest) -> MessageReply:
        """Send one request and wait for its reply.

        Raises `RefinementUnavailable`, `SpendLimitReached` or `RefinementFailed`.
        """
        ...


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The outcome of one request of a batch: a reply, or the reason why there is none."""

    custom_id: str
    reply: MessageReply | None
    problem: str = ""
    #: True if the same request may succeed in another batch.
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """The progress of a batch."""

    ended: bool
    #: Unfinished requests, and ended ones by outcome; all but the first are 0 until the batch ends.
    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int


@dataclass(frozen=True, slots=True)
class SubmittedBatch:
    """A submitted batch, as the API lists it."""

    id: str
    requests: int
    #: True once its results can be read.
    ended: bool


class BatchSender(Protocol):
    """Sends many requests at once, for replies within a day."""

    def submit(self, requests: Mapping[str, MessageRequest]) -> str:
        """Submit requests by custom id; return the batch's id. Raises as `MessageSender.send` does."""
        ...
