"""`transcription up` as a user starts it, with a password: audio in S3, events through SQS, results in S3."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from transcription_dagster.dagster_api.client import DagsterClient
from transcription_dagster.settings import load_settings
from transcription_dagster.sources.base import recording_of
from transcription_dagster.stack.postgres import database_url
from transcription_dagster.stack.supervisor import end_orphan_processes
from transcription_dagster.transcripts.amazon_json import read_transcript
from transcription_dagster_tests.end_to_end.up_process import Up, started_up
from transcription_dagster_tests.faults import NO_EMBEDDINGS
from transcription_dagster_tests.processes import addresses, below, of_each, running_yet
from transcription_dagster_tests.s3_server import AwsServer, aws_environment, aws_server
from transcription_dagster_tests.stack.small_stack import until
from transcription_dagster_tests.system import DEMO_RECORDINGS, System, environment_of, wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("up with S3")]

#: Encoded as in S3's events: a space and letters beyond ASCII.
FOLDER = "incoming/été 2026"
SECRET = "planted-secret-7c1f"


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsServer]:
    with aws_server() as server, aws_environment(server):
        yield server


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="transcription-test-"))
    yield folder
    end_orphan_processes(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def up(aws: AwsServer, home: Path) -> Iterator[Up]:
    """Provide a stack whose environment holds secrets."""
    for bucket in ("archive", "results"):
        aws.make_bucket(bucket)
    queue = aws.client("sqs").create_queue(QueueName="events")["QueueUrl"]
    target = {"QueueArn": "arn:aws:sqs:us-east-1:123456789012:events", "Events": ["s3:ObjectCreated:*"]}
    aws.client("s3").put_bucket_notification_configuration(
        Bucket="archive", NotificationConfiguration={"QueueConfigurations": [target]}
    )
    network = {"source_sqs": queue, "store": "s3://results/transcripts", "ui_password": SECRET}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment_of(home, 1, refinement="off", **network, **NO_EMBEDDINGS).items():
            patch.setenv(name, value)
        patch.setenv("ANTHROPIC_API_KEY", SECRET)
        with started_up(home, "--port", "0", "--run-workers", "1") as up:
            yield up


@pytest.fixture(scope="module")
def system(up: Up) -> Iterator[System]:
    settings = load_settings()
    with (
        DagsterClient(up.stack.url, settings.ui_password) as client,
        closing(System(settings, up.stack, client, database_url(settings))) as system,
    ):
        yield system


def test_the_ui_has_a_login_and_everything_listens_on_the_loopback_address(up: Up) -> None:
    assert up.stack.url in up.said()
    with httpx.Client(base_url=up.stack.url, trust_env=False) as client:
        assert client.get("/health").is_success
        assert client.get("/server_info").status_code == 401
        assert client.get("/server_info", auth=("anybody", SECRET)).is_success
    assert addresses([psutil.Process(up.stack.pid), *below(up.stack.pid)]) == {"127.0.0.1"}


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


def test_a_killed_executor_is_restarted_and_reported(up: Up) -> None:
    commands = of_each(below(up.stack.pid), lambda process: (process.pid, process.cmdline()))
    assert not [pid for pid, command in commands if any(SECRET in part for part in command)]
    os.kill(next(pid for pid, command in commands if "gpu-worker" in command), signal.SIGKILL)
    until(lambda: "gpu-worker-cpu-0 was restarted" in up.said())


def test_ctrl_c_ends_everything_and_no_file_contains_a_secret(up: Up) -> None:
    everything = [psutil.Process(up.stack.pid), *below(up.stack.pid)]
    up.process.send_signal(signal.SIGINT)
    up.ends_with(0)
    assert "Everything is stopped." in up.said()
    assert not running_yet(everything)
    assert end_orphan_processes(up.home) == 0
    leaks = [path for path in up.home.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert leaks == []


def body(aws: AwsServer, key: str) -> bytes:
    return aws.client("s3").get_object(Bucket="results", Key=key)["Body"].read()


def waiting_events(aws: AwsServer) -> int:
    sqs = aws.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = sqs.get_queue_url(QueueName="events")["QueueUrl"]
    return sum(int(n) for n in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values())
