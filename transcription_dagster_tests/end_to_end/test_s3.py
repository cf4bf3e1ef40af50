"""The whole job without a local disk: audio in S3, events through SQS, results in S3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_dagster.sources.base import recording_of
from transcription_dagster.transcripts.amazon_json import read_transcript
from transcription_dagster_tests.faults import NO_EMBEDDINGS
from transcription_dagster_tests.s3_server import AwsServer, aws_environment, aws_server
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, running_system, wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("stacks of their own")]

#: Encoded as in S3's events: a space and letters beyond ASCII.
FOLDER = "incoming/été 2026"


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsServer]:
    with aws_server() as server, aws_environment(server):
        yield server


@pytest.fixture(scope="module")
def system(aws: AwsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    for bucket in ("archive", "results"):
        aws.make_bucket(bucket)
    queue = aws.client("sqs").create_queue(QueueName="events")["QueueUrl"]
    target = {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:events", "Events": ["s3:ObjectCreated:*"]}
    aws.client("s3").put_bucket_notification_configuration(
        Bucket="archive", NotificationConfiguration={"QueueConfigurations": [target]}
    )
    home = tmp_path_factory.mktemp("home")
    store = "s3://results/transcripts"
    with running_system(home, run_workers=1, source_sqs=queue, store=store, **NO_EMBEDDINGS) as system:
        yield system


def test_recordings_that_arrive_in_s3_are_transcribed_and_published_there(system: System, aws: AwsServer) -> None:
    s3 = aws.client("s3")
    keys = {path: f"{FOLDER}/{path.name}" for path in DEMO_RECORDINGS[:2]}
    for path, key in keys.items():
        s3.put_object(Bucket="archive", Key=key, Body=path.read_bytes())
    uuids = [recording_of(f"s3://archive/{key}", path.name) for path, key in keys.items()]
    # The files are named by their UUIDs, and keep them.
    assert uuids == [path.stem for path in keys]
    runs = system.finish(uuids, 240)
    assert {run.status for run in runs} == {"SUCCESS"}
    for uuid in uuids:
        folder = f"transcripts/{uuid}"
        manifest = json.loads(body(aws, f"{folder}/recording.json"))
        assert {"audio.flac", "transcript.json", "captions.srt", "refined.vtt", "insights.json"} <= set(
            manifest["files"]
        )
        assert read_transcript(body(aws, f"{folder}/transcript.json")).words
    wait_until(lambda: waiting_events(aws) == 0, 120, "the events were taken off the queue")
    assert not list(Path(system.settings.home / "scratch").glob("*/*"))


def body(aws: AwsServer, key: str) -> bytes:
    return aws.client("s3").get_object(Bucket="results", Key=key)["Body"].read()


def waiting_events(aws: AwsServer) -> int:
    sqs = aws.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = sqs.get_queue_url(QueueName="events")["QueueUrl"]
    return sum(int(n) for n in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values())
