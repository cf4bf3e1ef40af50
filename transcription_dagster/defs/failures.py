"""Errors of the program as Dagster understands them: a permanent one fails the step, a transient one is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from transcription_dagster.errors import TranscriptionError, TransientError
from transcription_dagster.urls import without_secrets

#: Tries of a step after its first, and the seconds before each: together longer than a database takes to restart. A
#: service that is down for longer fails the run, and its backfill or sensor asks again.
_RETRIES = 6
_RETRY_SECONDS = 10.0


@contextmanager
def reported_failures() -> Iterator[None]:
    """Turn the program's errors into Dagster's, with the reason as the failure's description."""
    try:
        yield
    except TransientError as error:
        _clean(error)
        raise dg.RetryRequested(max_retries=_RETRIES, seconds_to_wait=_RETRY_SECONDS) from error
    except TranscriptionError as error:
        _clean(error)
        raise dg.Failure(
            description=str(error), metadata={"error": type(error).__name__}, allow_retries=False
        ) from error
    except Exception as error:
        _clean(error)
        raise


def _clean(error: BaseException) -> None:
    """Remove the secrets from the URLs that an error and its causes quote: Dagster keeps all of their messages."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        cause = left.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        cause.args = tuple(without_secrets(arg) if isinstance(arg, str) else arg for arg in cause.args)
        if isinstance(cause, OSError) and isinstance(cause.filename, str):
            cause.filename = without_secrets(cause.filename)
        left += [cause.__cause__, cause.__context__]
