from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcription_dagster.sources.sqs import ForeignMessage, created_objects, latest


def record(key: str = "in/a.mp3", name: str = "ObjectCreated:Put", **objects: Any) -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-11-23T10:00:00.000Z",
        "eventName": name,
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "recordings", "arn": "arn:aws:s3:::recordings"},
            "object": {"key": key, "size": 9, "eTag": "e", "sequencer": "0055AED6DCD90281E5", **objects},
        },
    }


def body(*records: Any) -> str:
    return json.dumps({"Records": records})


def test_an_event_describes_the_written_object() -> None:
    (event,) = created_objects(body(record()))
    assert (event.bucket, event.key, event.size, event.etag) == ("recordings", "in/a.mp3", 9, "e")
    assert event.modified == datetime(2026, 11, 23, 10, tzinfo=UTC)


def test_a_message_may_contain_several_records_and_other_events() -> None:
    objects = created_objects(body(record("a"), record("b", "ObjectRemoved:Delete"), record("c", "ObjectCreated:Copy")))
    assert [event.key for event in objects] == ["a", "c"]


def by_sns(message: str, kind: str = "Notification") -> str:
    return json.dumps({"Type": kind, "TopicArn": "arn:aws:sns:us-east-1:1:topic", "Message": message, "Signature": "s"})


def by_event_bridge(key: str = "in/a b.mp3", kind: str = "Object Created") -> str:
    detail = {"bucket": {"name": "recordings"}, "object": {"key": key, "size": 9, "etag": "e", "sequencer": "0055"}}
    message = {"version": "0", "source": "aws.s3", "detail-type": kind, "time": "2026-11-23T10:00:00Z"}
    return json.dumps({**message, "detail": {"version": "0", **detail, "reason": "PutObject"}})


def test_events_come_through_an_sns_topic() -> None:
    assert created_objects(by_sns(body(record("a"), record("b")))) == created_objects(body(record("a"), record("b")))
    assert created_objects(by_sns('{"Service":"Amazon S3","Event":"s3:TestEvent"}')) == ()
    assert created_objects(by_sns(by_event_bridge())) == created_objects(by_event_bridge())


def test_event_bridge_keys_are_not_encoded() -> None:
    (event,) = created_objects(by_event_bridge("in/a+b%20c.mp3"))
    assert (event.bucket, event.key, event.size, event.etag) == ("recordings", "in/a+b%20c.mp3", 9, "e")
    assert event.modified == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert created_objects(by_event_bridge(kind="Object Deleted")) == ()


@pytest.mark.parametrize("source", ["minio:s3", "ceph:s3"])
def test_events_of_compatible_stores_are_read(source: str) -> None:
    created = {**record("in%2Fa+b.mp3", "s3:ObjectCreated:Put"), "eventSource": source}
    deleted = {**record("c", "s3:ObjectRemoved:Delete"), "eventSource": source}
    message = json.dumps(
        {"EventName": "s3:ObjectCreated:Put", "Key": "recordings/in/a b.mp3", "Records": [created, deleted]}
    )
    assert [event.key for event in created_objects(message)] == ["in/a b.mp3"]


@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_a_topics_own_messages_are_not_events(kind: str) -> None:
    with pytest.raises(ForeignMessage, match=kind):
        created_objects(by_sns("You have chosen to subscribe", kind))


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("hello+world.mp3", "hello world.mp3"),
        ("a%2Bb.mp3", "a+b.mp3"),
        ("%C3%BC%0A.mp3", "ü\n.mp3"),
        ("a%252e", "a%2e"),
    ],
)
def test_keys_are_encoded_as_forms_are(encoded: str, key: str) -> None:
    assert created_objects(body(record(encoded)))[0].key == key


def test_the_test_event_announces_no_object() -> None:
    assert created_objects('{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"recordings"}') == ()


def test_the_sequencer_replaces_a_missing_etag_and_times_default_to_utc() -> None:
    incomplete: dict[str, Any] = record() | {"eventTime": "2026-11-23T10:00:00"}
    del incomplete["s3"]["object"]["eTag"]
    (objects,) = created_objects(body(incomplete))
    assert (objects.etag, objects.modified) == ("0055AED6DCD90281E5", datetime(2026, 11, 23, 10, tzinfo=UTC))


def test_a_completed_upload_without_a_size_is_accepted() -> None:
    incomplete = record()
    del incomplete["s3"]["object"]["size"]
    assert created_objects(body(incomplete))[0].size == 0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("", "not JSON"),
        ("hello", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "no Records"),
        ('{"Records": {}}', "no Records"),
        ('{"Records": [1]}', "not from S3"),
        (body({"eventSource": "aws:sns"}), "not from S3"),
        (body({"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}), "incomplete record"),
        (body(record(key=7)), "incomplete record"),  # type: ignore[arg-type]
        (body(record(key="%ff")), "incomplete record"),
        (body(record(key="\ud800")), "incomplete record"),
        (body(record(size="big")), "incomplete record"),
        (body(record(size=1)).replace('"size": 1', '"size": 1e400'), "incomplete record"),
        (body(record(key="a%00b.wav")), "incomplete record"),
        (body(record() | {"eventTime": "soon"}), "incomplete record"),
    ],
)
def test_a_foreign_message_is_reported_with_the_reason(message: str, reason: str) -> None:
    with pytest.raises(ForeignMessage, match=reason):
        created_objects(message)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda t: (
            st.lists(t)
            | st.dictionaries(
                st.sampled_from(
                    ["Records", "s3", "object", "bucket", "key", "eventSource", "eventName", "Event", "aws:s3"]
                )
                | st.text(),
                t,
            )
        ),
    )
)
def test_any_json_is_an_event_or_a_foreign_message(message: Any) -> None:
    with contextlib.suppress(ForeignMessage):
        assert all(event.key for event in created_objects(json.dumps(message)))


def test_the_last_of_several_events_of_an_object_counts() -> None:
    events = [
        *created_objects(body(record(sequencer="0055AED6DCD90281E5", eTag="second"))),
        *created_objects(body(record(sequencer="0055AED6DCD90281E5", eTag="second"))),
        *created_objects(body(record(sequencer="0055AED6DC", eTag="first"))),
        *created_objects(body(record("in/b.mp3", sequencer="1", eTag="other"))),
    ]
    assert [(event.key, event.etag) for event in latest(events)] == [("in/a.mp3", "second"), ("in/b.mp3", "other")]
    assert {event.etag for event in latest(reversed(events))} == {"second", "other"}


def test_a_shorter_sequencer_is_padded_on_its_right() -> None:
    events = [*created_objects(body(record(sequencer="1A", eTag="later")))]
    events += created_objects(body(record(sequencer="109", eTag="earlier")))
    assert [event.etag for event in latest(events)] == ["later"]
