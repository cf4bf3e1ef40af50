"""An S3 and SQS server for tests: moto's, over real HTTP on a free port of the loopback address."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import boto3
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class AwsServer:
    """A running server and the environment that points boto3 and obstore to it."""

    url: str

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
        }

    def client(self, service: str):
        """Return a boto3 client of this server, regardless of the environment."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def make_bucket(self, name: str) -> None:
        self.client("s3").create_bucket(Bucket=name)

    def reset(self) -> None:
        """Delete every bucket and queue. moto keeps one state per process, not per server."""
        import httpx

        httpx.post(f"{self.url}/moto-api/reset").raise_for_status()


@contextmanager
def aws_server() -> Iterator[AwsServer]:
    """Run a server in a thread during the block, without the state of earlier ones."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        running = AwsServer(f"http://{host}:{port}")
        running.reset()
        yield running
    finally:
        server.stop()


@contextmanager
def aws_environment(server: AwsServer) -> Iterator[None]:
    """Make boto3 and obstore find only this server during the block."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
            patch.delenv(name, raising=False)
        for name, value in server.environment.items():
            patch.setenv(name, value)
        # boto3 keeps a default session with the credentials of its first caller.
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        yield
