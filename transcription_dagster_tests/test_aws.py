"""Translation of boto3's errors, without secrets."""

from __future__ import annotations

import traceback

import pytest
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, ParamValidationError

from transcription_dagster.aws import aws_errors
from transcription_dagster.errors import ServiceRefused, ServiceUnavailable, TranscriptionError

SECRET = "quokkas yodel gently"


def answered(status: int, code: str) -> ClientError:
    response = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "DetectEntities")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answered(400, "ValidationException"), ServiceRefused),
        (answered(400, "ThrottlingException"), ServiceUnavailable),
        (answered(503, "Unavailable"), ServiceUnavailable),
        (EndpointConnectionError(endpoint_url="https://host.example"), ServiceUnavailable),
    ],
    ids=["refused", "throttled", "failed", "unreachable"],
)
def test_retryable_aws_errors_are_transient(error: Exception, kind: type[TranscriptionError]) -> None:
    with pytest.raises(kind, match=r"^entities of a recording: "), aws_errors("entities of a recording"):
        raise error


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("ExpiredTokenException", "renew them"),
        ("UnrecognizedClientException", "check AWS_ACCESS_KEY_ID"),
        ("AccessDeniedException", "lack a permission"),
        ("AWS.SimpleQueueService.NonExistentQueue", "correct TRANSCRIPTION_SOURCE_SQS"),
    ],
)
def test_a_refusal_says_what_to_do(code: str, advice: str) -> None:
    with pytest.raises(ServiceRefused, match=advice), aws_errors("entities"):
        raise answered(400, code)


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url=f"https://user:{SECRET.replace(' ', '-')}@host.example/"),
        ParamValidationError(report=f"Invalid type for parameter Text, value: {SECRET}\n{SECRET}, type: bytes"),
    ],
    ids=["a password in an endpoint", "a text as a parameter"],
)
def test_errors_and_logs_contain_no_secret(error: BotoCoreError) -> None:
    with pytest.raises(TranscriptionError) as caught, aws_errors("entities"):
        raise error
    traceback_text = "".join(traceback.format_exception(caught.value))
    assert SECRET not in traceback_text
    assert SECRET.replace(" ", "-") not in traceback_text
