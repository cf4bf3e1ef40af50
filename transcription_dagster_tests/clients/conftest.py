from __future__ import annotations

from collections.abc import Iterator

import pytest

from transcription_dagster_tests.s3_server import AwsServer, aws_environment, aws_server


@pytest.fixture(scope="session")
def running_aws() -> Iterator[AwsServer]:
    with aws_server() as server:
        yield server


@pytest.fixture
def aws(running_aws: AwsServer) -> Iterator[AwsServer]:
    """An empty AWS that boto3 and obstore find by themselves."""
    running_aws.reset()
    with aws_environment(running_aws):
        yield running_aws
