"""Translate the program's errors for Dagster: permanent ones fail the step, transient ones are retried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from transcription_dagster.errors import TranscriptionError, TransientError
from transcription_dagster.urls import without_secrets

#: Retries of a step, and the seconds before each: together longer than a database restart. A longer outage fails the
#: run, which its backfill or sensor requests again.
_RETRIES = 6
_RETRY_SECONDS = 10.0


@contextmanager
def reported_failures() -> Iterator[None]:
    """Turn the program's errors into Dagster failures that carry the reason as description."""
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


def unless_unavailable(tick: Callable[[], dg.SensorResult]) -> dg.SensorResult | dg.SkipReason:
    """Return the result of a sensor's tick; a transient error skips the tick, and the next one tries again."""
    try:
        return tick()
    except TransientError as error:
        return dg.SkipReason(f"A service is unavailable: {error}")


def _clean(error: BaseException) -> None:
    """Remove secrets from URLs in an error and its causes: Dagster stores all their messages."""
    seen: set[int] = set()
    causes: list[BaseException | None] = [error]
    while causes:
        cause = causes.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        cause.args = tuple(without_secrets(arg) if isinstance(arg, str) else arg for arg in cause.args)
        if isinstance(cause, OSError) and isinstance(cause.filename, str):
            cause.filename = without_secrets(cause.filename)
        causes += [cause.__cause__, cause.__context__]
