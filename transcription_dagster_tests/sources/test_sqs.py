from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from transcription_dagster.errors import SourceRefused, SourceUnavailable
from transcription_dagster.sources.sqs import SqsSource
from transcription_dagster_tests.s3_server import AwsServer
from transcription_dagster_tests.sources.test_s3_events import body, record
from transcription_dagster_tests.sources.web_server import Reply, web_server

pytestmark = pytest.mark.slow

ONE = "00000000-0000-4000-8000-000000000001"
TEST_EVENT = '{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"recordings"}'


class Queue:
    def __init__(self, aws: AwsServer) -> None:
        self._client = aws.client("sqs")
        self.url = self._client.create_queue(QueueName="events")["QueueUrl"]

    def send(self, *messages: str) -> None:
        for message in messages:
            self._client.send_message(QueueUrl=self.url, MessageBody=message)

    def sizes(self) -> tuple[int, int]:
        """Return the number of messages that can be received, and of those that wait for acknowledgement."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes: dict[str, Any] = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)[
            "Attributes"
        ]
        return int(attributes[names[0]]), int(attributes[names[1]])


@pytest.fixture
def queue(aws: AwsServer) -> Queue:
    return Queue(aws)


@pytest.fixture
def source(queue: Queue) -> SqsSource:
    return SqsSource(queue.url)


def test_an_event_becomes_an_object_and_stays_until_it_is_acknowledged(queue: Queue, source: SqsSource) -> None:
    queue.send(body(record(f"in/{ONE}.mp3")))
    listing = source.list(None, 10)
    (announced,) = listing.objects
    assert (announced.uuid, announced.uri, announced.size, announced.etag) == (
        ONE,
        f"s3://recordings/in/{ONE}.mp3",
        9,
        "e",
    )
    assert listing.receipts == ()
    assert queue.sizes() == (0, 1)
    source.acknowledge([announced.receipt])
    assert queue.sizes() == (0, 0)


def test_an_original_s3_event_is_read(aws: AwsServer, queue: Queue, source: SqsSource) -> None:
    aws.make_bucket("recordings")
    client = aws.client("s3")
    arn = {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:events", "Events": ["s3:ObjectCreated:*"]}
    client.put_bucket_notification_configuration(
        Bucket="recordings", NotificationConfiguration={"QueueConfigurations": [arn]}
    )
    client.put_object(Bucket="recordings", Key="in/a talk.mp3", Body=b"audio")
    listing = source.list(None, 10)
    assert [announced.uri for announced in listing.objects] == ["s3://recordings/in/a talk.mp3"]
    assert listing.problems == ()


def test_messages_are_limited(queue: Queue, source: SqsSource) -> None:
    queue.send(*(body(record(f"in/{number}.mp3")) for number in range(25)))
    first = source.list(None, 12)
    assert len(first.objects) == 12
    assert not first.exhausted
    second = source.list(None, 100)
    assert len(second.objects) == 13
    assert second.exhausted
    source.acknowledge([announced.receipt for announced in (*first.objects, *second.objects)])
    assert queue.sizes() == (0, 0)


def test_messages_without_a_recording_are_deleted_and_foreign_ones_kept(queue: Queue, source: SqsSource) -> None:
    queue.send(TEST_EVENT, body(record("in/notes.txt")), body(record("in/a.mp3", "ObjectRemoved:Delete")), "hello")
    listing = source.list(None, 10)
    assert listing.objects == ()
    assert len(listing.receipts) == 3
    assert len(listing.problems) == 1
    assert "is left in the queue: not JSON: 'hello'" in listing.problems[0]
    source.acknowledge(listing.receipts)
    assert queue.sizes() == (0, 1)


def test_an_object_announced_repeatedly_is_listed_once(queue: Queue, source: SqsSource) -> None:
    queue.send(
        body(record("in/a.mp3", sequencer="01", eTag="first")),
        body(record("in/a.mp3", sequencer="02", eTag="second"), record("in/b.mp3")),
        body(record("in/a.mp3", sequencer="02", eTag="second")),
    )
    listing = source.list(None, 10)
    assert sorted((announced.uri, announced.etag) for announced in listing.objects) == [
        ("s3://recordings/in/a.mp3", "second"),
        ("s3://recordings/in/b.mp3", "e"),
    ]
    source.acknowledge([*listing.receipts, *{announced.receipt for announced in listing.objects}])
    assert queue.sizes() == (0, 0)


def test_an_empty_queue_is_an_empty_listing(source: SqsSource) -> None:
    listing = source.list(None, 10)
    assert (listing.objects, listing.exhausted, listing.problems, listing.receipts) == ((), True, (), ())
    source.acknowledge([])


def test_an_expired_receipt_is_ignored(queue: Queue, source: SqsSource) -> None:
    queue.send(body(record()))
    (announced,) = source.list(None, 10).objects
    for _ in range(2):
        source.acknowledge([announced.receipt])
        assert queue.sizes() == (0, 0)


def test_a_failed_deletion_fails_the_tick(queue: Queue, source: SqsSource, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]}
    reply = Reply(headers={"Content-Type": "application/x-amz-json-1.0"}, body=json.dumps(failed).encode())
    with web_server(lambda request: reply) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(SourceUnavailable, match=r"1 messages of .* were not deleted: .*InternalError"):
            source.acknowledge(["receipt"])


def test_a_missing_queue_is_named_in_the_error(aws: AwsServer) -> None:
    url = f"{aws.url}/123456789012/nobody-made-this"
    with pytest.raises(SourceRefused, match=r"Could not receive messages from .*nobody-made-this"):
        SqsSource(url).list(None, 10)


def test_an_unreachable_service_is_unavailable(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(SourceUnavailable, match="Could not receive messages from"):
        SqsSource(queue.url).list(None, 10)


def test_a_missing_region_is_a_settings_error(queue: Queue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(SourceRefused, match="region"):
        SqsSource(queue.url).list(None, 10)
