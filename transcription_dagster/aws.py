"""boto3 clients with bounded timeouts, and translation of boto3's errors into the program's.

Every process of a stack imports this module and few use AWS, so boto3 and botocore are imported only when needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from transcription_dagster.errors import PermanentError, ServiceRefused, ServiceUnavailable, TransientError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from botocore.loaders import Loader

#: Throttling may last longer than these retries; a missing endpoint does not appear within seconds.
_ATTEMPTS = {"standard": 4, "adaptive": 8}
#: Error codes with status 400 for which the same request may succeed later.
_TRANSIENT_CODES = frozenset(
    {
        "InternalServerException",
        "LimitExceededException",
        "ModelNotReadyException",
        "ModelTimeoutException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_EXPIRED = "the AWS credentials have expired: renew them, and restart the workers if they are in the environment"
_INVALID = "AWS does not accept the credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile"
_DENIED = "the AWS credentials lack a permission for this"
_NO_QUEUE = "create the queue, or correct TRANSCRIPTION_SOURCE_SQS"
#: What to do about an error code, for S3 and the services.
_ADVICE: Mapping[str, str] = {
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(
        (
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "InvalidToken",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        _INVALID,
    ),
    **dict.fromkeys(("AccessDenied", "AccessDeniedException"), _DENIED),
    **dict.fromkeys(("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"), _NO_QUEUE),
}
_NOT_FOUND_CODES = frozenset({"404", "NoSuchKey", "NoSuchVersion"})


def aws_client(service: str, *, retries: Literal["standard", "adaptive"], read_seconds: float = 60.0) -> Any:
    """Return a boto3 client with the credentials, region and endpoint that boto3 finds.

    `retries` is the SDK's retry mode; `adaptive` also slows down when the service throttles. Call it inside
    `aws_errors`, because boto3 may find no region or profile.
    """
    import boto3
    from botocore.config import Config
    from botocore.session import get_session

    config = Config(
        retries={"mode": retries, "total_max_attempts": _ATTEMPTS[retries]},
        connect_timeout=10,
        read_timeout=read_seconds,
    )
    # A separate session: the default session is shared by the process and is not thread-safe.
    session = get_session()
    session.register_component("data_loader", _loader())
    return boto3.Session(botocore_session=session).client(service, config=config)


@contextmanager
def aws_errors(
    action: str,
    *,
    refused: type[PermanentError] = ServiceRefused,
    unavailable: type[TransientError] = ServiceUnavailable,
    missing: type[PermanentError] | None = None,
) -> Iterator[None]:
    """Translate boto3's errors in the block; messages begin with `action`. `missing` is the error for an absent object.

    The errors have no cause: boto3's errors quote endpoints and parameters, which may contain passwords or a
    recording's text, and Dagster stores an error with all its causes.
    """
    from botocore import exceptions

    no_retry_helps = (
        exceptions.NoCredentialsError,
        exceptions.NoRegionError,
        exceptions.ParamValidationError,
        exceptions.PartialCredentialsError,
        exceptions.ProfileNotFound,
    )
    try:
        yield
    except exceptions.ClientError as error:
        code = error_code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        message = f"{action}: {error.response.get('Error', {}).get('Message') or 'no reason given'} ({code})"
        message += f"; {advice}" if (advice := aws_advice(code)) else ""
        if missing and code in _NOT_FOUND_CODES:
            raise missing(message) from None
        if status >= 500 or status == 429 or code in _TRANSIENT_CODES:
            raise unavailable(message) from None
        raise refused(message) from None
    except no_retry_helps as error:
        raise refused(f"{action}: {_without_values(error)}") from None
    except exceptions.BotoCoreError as error:
        raise unavailable(f"{action}: {error}") from None


def aws_advice(code: str) -> str | None:
    """Return what to do about an error code of AWS, such as `ExpiredToken`; None if the code alone does not tell."""
    return _ADVICE.get(code)


def _without_values(error: Exception) -> str:
    """Return the error in one line, without parameter values, which may be the text of a recording."""
    return " ".join(str(error).split()).partition(", value:")[0]


@cache
def _loader() -> Loader:
    """Return botocore's loader of service descriptions; cached, because loading takes most of a client's start."""
    from botocore.loaders import create_loader

    return create_loader()


def error_code(error: ClientError) -> str:
    """Return AWS's code of an error, such as `NoSuchKey`, or the HTTP status if there is no code."""
    return str(error.response.get("Error", {}).get("Code", ""))
