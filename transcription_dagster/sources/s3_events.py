"""Parse the messages that S3, EventBridge and compatible stores send for new objects.

Formats: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from transcription_dagster.errors import PermanentError


class ForeignMessage(PermanentError):
    """The message is not an S3 event."""


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """An object was written."""

    bucket: str
    key: str
    size: int
    etag: str
    modified: datetime
    #: Orders the events of one key: compared as text, the shorter one right-padded with zeros.
    sequencer: str


def created_objects(body: str) -> Sequence[ObjectCreated]:
    """Return the objects that a message announces; none for test events and other kinds of events.

    Accepts S3's notifications, those of compatible stores (MinIO, Ceph), EventBridge's `Object Created`, and each of
    these wrapped by an SNS topic. Raises `ForeignMessage` with the reason for anything else.
    """
    message = _unwrapped(_json_object(body))
    if message.get("Event") == "s3:TestEvent":
        return ()
    if message.get("source") == "aws.s3" and isinstance(message.get("detail"), dict):
        return (_created_on_event_bridge(message),) if message.get("detail-type") == "Object Created" else ()
    records = message.get("Records")
    if not isinstance(records, list):
        raise ForeignMessage(f"no Records in it: {body[:80]!r}")
    return tuple(_created(record) for record in records if _is_creation(record))


def _json_object(body: str) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise ForeignMessage(f"not JSON: {body[:80]!r}") from None
    if not isinstance(message, dict):
        raise ForeignMessage(f"not a JSON object: {body[:80]!r}")
    return message


def _unwrapped(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message inside an SNS notification, or the message itself if it is not wrapped."""
    if "TopicArn" not in message and message.get("Type") != "Notification":
        return message
    if message.get("Type") != "Notification" or not isinstance(message.get("Message"), str):
        raise ForeignMessage(f"not an SNS notification, but {str(message.get('Type'))[:80]!r}")
    return _json_object(message["Message"])


def latest(events: Iterable[ObjectCreated]) -> Sequence[ObjectCreated]:
    """Return the last event of each object: events are delivered repeatedly and in any order."""
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
    # `aws:s3`, `minio:s3`, `ceph:s3`: each compatible store has its own prefix.
    if not isinstance(record, dict) or not str(record.get("eventSource", "")).endswith(":s3"):
        raise ForeignMessage(f"a record that is not from S3: {str(record)[:80]!r}")
    return str(record.get("eventName", "")).removeprefix("s3:").startswith("ObjectCreated:")


def _created(record: dict[str, Any]) -> ObjectCreated:
    with _incomplete(record):
        found = record["s3"]["object"]
        # The key is form-encoded: a plus means a space.
        key = unquote_plus(found["key"], errors="strict")
        return _object_created(record["s3"], key, record["eventTime"])


def _created_on_event_bridge(message: dict[str, Any]) -> ObjectCreated:
    with _incomplete(message):
        found = message["detail"]["object"]
        # Unlike S3's own notifications, EventBridge does not encode keys.
        return _object_created(message["detail"], found["key"], message["time"])


def _object_created(place: dict[str, Any], key: str, time: str) -> ObjectCreated:
    key.encode()
    if "\0" in key:
        raise ValueError("a NUL in the key")
    found = place["object"]
    # Some stores send no entity tag; the sequencer distinguishes versions as well.
    etag = found.get("eTag") or found.get("etag") or found["sequencer"]
    modified = datetime.fromisoformat(time)
    return ObjectCreated(
        bucket=str(place["bucket"]["name"]),
        key=key,
        size=int(found.get("size", 0)),
        etag=str(etag),
        modified=modified if modified.tzinfo else modified.replace(tzinfo=UTC),
        sequencer=str(found.get("sequencer", "")),
    )


@contextmanager
def _incomplete(record: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ForeignMessage(f"an incomplete record ({error!r}): {str(record)[:80]!r}") from error
