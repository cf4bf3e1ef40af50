"""Recordings that S3 announces on an SQS queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

from transcription_dagster.aws import aws_client, aws_errors
from transcription_dagster.errors import SourceRefused, SourceUnavailable
from transcription_dagster.sources.base import Listing, SourceObject, is_media, recording_of
from transcription_dagster.sources.s3 import s3_uri
from transcription_dagster.sources.s3_events import ForeignMessage, ObjectCreated, created_objects, latest

#: The SQS limit on messages per request.
_BATCH = 10
#: SQS delivers a message again if it is not deleted within this time.
VISIBILITY_SECONDS = 300


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
                found = created_objects(message["Body"])
            except ForeignMessage as error:
                problems.append(f"message {message['MessageId']} is left in the queue: {error}")
                continue
            receipts.add(message["ReceiptHandle"])
            events.update((event, message["ReceiptHandle"]) for event in found if is_media(event.key))
        objects = tuple(_object(event, events[event]) for event in latest(events))
        return Listing(
            objects=objects,
            cursor=None,
            exhausted=received < limit,
            problems=tuple(problems),
            receipts=tuple(receipts - {found.receipt for found in objects}),
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
