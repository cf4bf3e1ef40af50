"""How boto3 is used here: clients with bounded waits, and its errors in the program's own classes.

boto3 and botocore are imported when AWS is used: every process of a stack imports this module, and few use AWS.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from transcription_dagster.errors import PermanentError, ServiceRefused, ServiceUnavailable, TransientError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from botocore.loaders import Loader

#: Throttling may last; an endpoint that is not there does not come back so soon.
_ATTEMPTS = {"standard": 4, "adaptive": 8}
#: What AWS answers with status 400 though the same request may succeed later.
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
_NOT_FOUND_CODES = frozenset({"404", "NoSuchKey", "NoSuchVersion"})


def aws_client(service: str, *, retries: Literal["standard", "adaptive"], read_seconds: float = 60.0) -> Any:
    """A boto3 client with the credentials, region and endpoint that boto3 finds by itself.

    `retries` is the SDK's own mode; `adaptive` also slows down where the service throttles. To be opened, too,
    inside `aws_errors`: boto3 may find no region or profile.
    """
    import boto3
    from botocore.config import Config
    from botocore.session import get_session

    config = Config(
        retries={"mode": retries, "total_max_attempts": _ATTEMPTS[retries]},
        connect_timeout=10,
        read_timeout=read_seconds,
    )
    # A separate session: the default one is shared by the process and is not thread-safe.
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
    """Translate what boto3 raises in the block; messages begin with `action`. `missing` is for an absent object.

    The errors have no cause: boto3's own quote endpoints and parameters, which may hold passwords or a recording's
    text, and Dagster stores an error with all its causes.
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
        if missing and code in _NOT_FOUND_CODES:
            raise missing(message) from None
        if status >= 500 or status == 429 or code in _TRANSIENT_CODES:
            raise unavailable(message) from None
        raise refused(message) from None
    except no_retry_helps as error:
        raise refused(f"{action}: {_without_values(error)}") from None
    except exceptions.BotoCoreError as error:
        raise unavailable(f"{action}: {error}") from None


def _without_values(error: Exception) -> str:
    """Return the error in one line, without the value of a parameter, which may be the text of a recording."""
    return " ".join(str(error).split()).partition(", value:")[0]


@cache
def _loader() -> Loader:
    """The descriptions of AWS's services; reading them takes most of the time to open a client."""
    from botocore.loaders import create_loader

    return create_loader()


def error_code(error: ClientError) -> str:
    """AWS's own name of an error, such as `NoSuchKey`; a number where it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))
