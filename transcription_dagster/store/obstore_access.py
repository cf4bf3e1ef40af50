"""Open remote stores with bounded waits, and translate obstore's errors into the program's own."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from obstore.exceptions import (
    BaseError,
    GenericError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import from_url

from transcription_dagster.aws import aws_advice
from transcription_dagster.errors import SourceNotFound, StoreRefused, StoreUnavailable

#: 4xx answers are final, except the two that ask for a retry.
_FINAL_STATUS = re.compile(r"status code: 4(?!08|29)\d\d")
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
#: The operator must repair the folder.
_FINAL_OS_ERRORS = frozenset({errno.EACCES, errno.ENOTDIR, errno.EISDIR, errno.EROFS})
#: What to do about an error of the operating system.
_OS_ADVICE = {
    errno.EACCES: "give the user that runs the program access to the folder",
    errno.EDQUOT: "the disk quota is used up: raise it or free up space",
    errno.ENOSPC: "the disk is full: free up space",
    errno.EROFS: "the file system is read-only: mount it writable",
}


def open_remote(url: str, retries: int = 5) -> Any:
    """Open a bucket or a folder in one, without I/O. Requests that fail or stall are retried.

    S3 credentials come from boto3's chain; `AWS_ENDPOINT_URL` or `AWS_ENDPOINT_URL_S3` name another server. Raises
    `StoreRefused` if the URL cannot be opened or boto3 finds no credentials.
    """
    options: dict[str, Any] = {
        "client_options": {
            # Plain http only if the configured endpoint uses it.
            "allow_http": True,
            "connect_timeout": timedelta(seconds=10),
            "read_timeout": timedelta(seconds=60),
            "timeout": timedelta(hours=12),
        },
        "retry_config": {"max_retries": retries, "retry_timeout": timedelta(seconds=60)},
    }
    if url.startswith(("s3://", "s3a://")):
        options["credential_provider"] = _aws_credentials(url)
    try:
        return from_url(url, **options)
    except (BaseError, ValueError) as error:
        raise StoreRefused(f"{url} cannot be opened: {_reason(error)}") from None


@contextmanager
def obstore_errors(action: str) -> Iterator[None]:
    """Translate obstore's errors in the block; messages begin with `action`.

    Raises `SourceNotFound` for a missing object, `StoreRefused`, or `StoreUnavailable`, without a cause: obstore quotes
    the server's whole answer, in which S3 repeats the signed request with its session token.
    """
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        reason = _reason(error)
        if "NoSuchBucket" in reason:
            raise StoreRefused(f"{action}: the bucket does not exist") from None
        if isinstance(error, FileNotFoundError):
            raise SourceNotFound(f"{action}: it does not exist") from None
        if _is_final(error):
            raise StoreRefused(f"{action}: {reason}") from None
        raise StoreUnavailable(f"{action}: {reason}") from None


def _aws_credentials(url: str) -> Any:
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        return Boto3CredentialProvider()
    except ValueError:
        raise StoreRefused(
            f"No AWS credentials were found for {url}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "a profile or role that boto3 finds"
        ) from None


def _is_final(error: Exception) -> bool:
    if _os_error(error) in _FINAL_OS_ERRORS:
        return True
    if isinstance(error, GenericError):
        return bool(_FINAL_STATUS.search(str(error)))
    return isinstance(error, (PermissionDeniedError, UnauthenticatedError, ValueError))


def _os_error(error: Exception) -> int | None:
    """Return the operating system's error number; obstore gives it in the text."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    number = _OS_ERROR.search(str(error))
    return int(number[1]) if number else None


def _reason(error: Exception) -> str:
    """Return the error in one line with S3's error code, without the XML and the Rust dump that follow.

    If S3's code or the operating system's error tells what to do, that replaces the line.
    """
    line = str(error).partition("\n")[0].partition(": <?xml")[0]
    code = re.search(r"<Code>(\w+)</Code>", str(error))
    if code:
        return f"{aws_advice(code[1]) or line} ({code[1]})"
    number = _os_error(error)
    return f"{_OS_ADVICE[number]} (os error {number})" if number in _OS_ADVICE else line
