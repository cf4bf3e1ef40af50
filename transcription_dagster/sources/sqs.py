"""Recordings that S3, EventBridge and compatible stores announce on an SQS queue.

Formats: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import unquote_plus

from transcription_dagster.aws import aws_client, aws_errors
from transcription_dagster.errors import PermanentError, SourceRefused, SourceUnavailable
from transcription_dagster.sources.base import Listing, SourceObject, is_media, recording_of
from transcription_dagster.sources.s3 import s3_uri

#: The SQS limit on messages per request.
_BATCH = 10
#: SQS delivers a message again if it is not deleted within this time.
VISIBILITY_SECONDS = 300


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
        previous = newest.get((event.bucket, event.key))
        if previous is None or _is_after(event.sequencer, previous.sequencer):
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
        s3_object = record["s3"]["object"]
        # The key is form-encoded: a plus means a space.
        key = unquote_plus(s3_object["key"], errors="strict")
        return _object_created(record["s3"], key, record["eventTime"])


def _created_on_event_bridge(message: dict[str, Any]) -> ObjectCreated:
    with _incomplete(message):
        s3_object = message["detail"]["object"]
        # Unlike S3's own notifications, EventBridge does not encode keys.
        return _object_created(message["detail"], s3_object["key"], message["time"])


def _object_created(place: dict[str, Any], key: str, time: str) -> ObjectCreated:
    key.encode()
    if "\0" in key:
        raise ValueError("a NUL in the key")
    s3_object = place["object"]
    # Some stores send no entity tag; the sequencer distinguishes versions as well.
    etag = s3_object.get("eTag") or s3_object.get("etag") or s3_object["sequencer"]
    modified = datetime.fromisoformat(time)
    return ObjectCreated(
        bucket=str(place["bucket"]["name"]),
        key=key,
        size=int(s3_object.get("size", 0)),
        etag=str(etag),
        modified=modified if modified.tzinfo else modified.replace(tzinfo=UTC),
        sequencer=str(s3_object.get("sequencer", "")),
    )


@contextmanager
def _incomplete(record: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ForeignMessage(f"an incomplete record ({error!r}): {str(record)[:80]!r}") from error


class SqsSource:
    """Lists the objects of `ObjectCreated` events. A message stays in the queue until it is acknowledged.

    Messages that are not S3 events are reported at each delivery and left to the queue's redrive policy, which moves
    them to the dead-letter queue.
    """

    name = "sqs"
    #: Small: a received message that exceeds the limit on runs stays invisible for a while.
    page_size = 10

    def __init__(self, queue_url: str) -> None:
        self._queue_url = queue_url

    def list(self, cursor: str | None, limit: int) -> Listing:
        """Receive up to `limit` messages. The cursor is unused."""
        events: dict[ObjectCreated, str] = {}
        problems: list[str] = []
        receipts: set[str] = set()
        received = 0
        for message in self._receive(limit):
            received += 1
            try:
                created = created_objects(message["Body"])
            except ForeignMessage as error:
                problems.append(f"message {message['MessageId']} is left in the queue: {error}")
                continue
            receipts.add(message["ReceiptHandle"])
            events.update((event, message["ReceiptHandle"]) for event in created if is_media(event.key))
        objects = tuple(_object(event, events[event]) for event in latest(events))
        return Listing(
            objects=objects,
            cursor=None,
            exhausted=received < limit,
            problems=tuple(problems),
            receipts=tuple(receipts - {source.receipt for source in objects}),
        )

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """Delete the messages. One with an expired receipt is delivered again, which requests nothing new."""
        for first in range(0, len(receipts), _BATCH):
            entries = [
                {"Id": str(position), "ReceiptHandle": receipt}
                for position, receipt in enumerate(receipts[first : first + _BATCH])
            ]
            with self._errors("delete messages from"):
                answer = self._client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
            failed = [failure for failure in answer.get("Failed", ()) if not failure["SenderFault"]]
            if failed:
                raise SourceUnavailable(f"{len(failed)} messages of {self._queue_url} were not deleted: {failed[0]}")

    def _receive(self, limit: int) -> Iterator[dict[str, Any]]:
        while limit > 0:
            with self._errors("receive messages from"):
                answer = self._client.receive_message(
                    QueueUrl=self._queue_url,
                    MaxNumberOfMessages=min(limit, _BATCH),
                    VisibilityTimeout=VISIBILITY_SECONDS,
                    # Long polling: without a wait, SQS queries only a subset of its servers.
                    WaitTimeSeconds=1,
                )
            messages = answer.get("Messages", ())
            if not messages:
                return
            limit -= len(messages)
            yield from messages

    def _errors(self, action: str) -> AbstractContextManager[None]:
        return aws_errors(f"Could not {action} {self._queue_url}", refused=SourceRefused, unavailable=SourceUnavailable)

    @cached_property
    def _client(self) -> Any:
        return aws_client("sqs", retries="standard")


def _object(event: ObjectCreated, receipt: str) -> SourceObject:
    uri = s3_uri(event.bucket, event.key)
    return SourceObject(recording_of(uri, event.key), uri, event.size, event.etag, event.modified, receipt)
