"""What S3 writes into a queue about its objects.

The layout: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from transcription_dagster.errors import PermanentError


class ForeignMessage(PermanentError):
    """The message is not an event of S3."""


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """An object was written."""

    bucket: str
    key: str
    size: int
    etag: str
    modified: datetime
    #: Orders the events of one key: compared as text, the shorter one padded with zeros on its right.
    sequencer: str


def created_objects(body: str) -> Sequence[ObjectCreated]:
    """The `ObjectCreated` events in a message; none for S3's test event and for events of other kinds.

    Raises `ForeignMessage` that says what is wrong with anything else.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise ForeignMessage(f"not JSON: {body[:80]!r}") from None
    if not isinstance(message, dict):
        raise ForeignMessage(f"not a JSON object: {body[:80]!r}")
    if message.get("Event") == "s3:TestEvent":
        return ()
    records = message.get("Records")
    if not isinstance(records, list):
        raise ForeignMessage(f"no Records in it: {body[:80]!r}")
    return tuple(_created(record) for record in records if _is_creation(record))


def latest(events: Iterable[ObjectCreated]) -> Sequence[ObjectCreated]:
    """The last event of each object: deliveries come more than once and in any order."""
    newest: dict[tuple[str, str], ObjectCreated] = {}
    for event in events:
        known = newest.get((event.bucket, event.key))
        if known is None or _is_after(event.sequencer, known.sequencer):
            newest[event.bucket, event.key] = event
    return tuple(newest.values())


def _is_after(sequencer: str, other: str) -> bool:
    width = max(len(sequencer), len(other))
    return sequencer.ljust(width, "0") > other.ljust(width, "0")


def _is_creation(record: Any) -> bool:
    if not isinstance(record, dict) or record.get("eventSource") != "aws:s3":
        raise ForeignMessage(f"a record that is not of S3: {str(record)[:80]!r}")
    return str(record.get("eventName", "")).startswith("ObjectCreated:")


def _created(record: dict[str, Any]) -> ObjectCreated:
    try:
        found = record["s3"]["object"]
        event = ObjectCreated(
            bucket=str(record["s3"]["bucket"]["name"]),
            # The key is encoded as a form is: a space stands as a plus.
            key=unquote_plus(found["key"], errors="strict"),
            size=int(found.get("size", 0)),
            etag=str(found["eTag"]),
            modified=datetime.fromisoformat(record["eventTime"]),
            sequencer=str(found.get("sequencer", "")),
        )
        event.key.encode()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ForeignMessage(f"an incomplete record ({error!r}): {str(record)[:80]!r}") from error
    return event
