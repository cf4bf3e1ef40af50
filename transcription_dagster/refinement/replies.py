"""Parse Claude's replies strictly: a reply that does not match the schema is rejected as a whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NoReturn

from transcription_dagster.errors import UnusableReply
from transcription_dagster.model import Edit
from transcription_dagster.refinement.messages import MessageReply

_CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded"})


@dataclass(frozen=True, slots=True)
class Answer:
    """Claude's proposals for one window, not yet validated against the words."""

    edits: tuple[Edit, ...]
    #: Indices of words that start a new topic.
    topics: tuple[int, ...]


def read_reply(reply: MessageReply) -> Answer:
    """Return the proposals in a reply. Raises `UnusableReply` with the reason."""
    if reply.stop_reason == "refusal":
        raise UnusableReply("Claude refused to answer")
    if reply.stop_reason in _CUT_OFF:
        raise UnusableReply(f"the answer was cut off ({reply.stop_reason})")
    try:
        document = json.loads(reply.text)
    except (ValueError, RecursionError):
        _malformed("it is not JSON")
    if not isinstance(document, dict):
        _malformed("it is not an object")
    edits, topics = document.get("edits"), document.get("topics")
    if not isinstance(edits, list) or not isinstance(topics, list):
        _malformed("it has no lists `edits` and `topics`")
    return Answer(tuple(_edit(item) for item in edits), tuple(_integer(item) for item in topics))


def _edit(item: object) -> Edit:
    if not isinstance(item, dict):
        _malformed("an edit is not an object")
    texts = [item.get(field) for field in ("old", "new", "kind")]
    if not all(isinstance(text, str) for text in texts):
        _malformed("an edit lacks `old`, `new` or `kind`")
    return Edit(_integer(item.get("first")), _integer(item.get("last")), *map(str, texts))


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        _malformed("an index is not a whole number")
    return value


def _malformed(what: str) -> NoReturn:
    raise UnusableReply(f"the answer does not match the requested schema: {what}")
