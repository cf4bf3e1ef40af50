"""Distinguish errors of broken media from all other errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import av.error

from transcription_dagster.errors import UnusableAudio

#: PyAV's errors for a broken file. If FFmpeg misses the damage, PyAV reads invalid or missing fields.
BROKEN_MEDIA = (av.error.FFmpegError, ValueError, OverflowError, ZeroDivisionError, AttributeError, TypeError)


@contextmanager
def media_errors(what: str) -> Iterator[None]:
    """Translate PyAV's errors into `UnusableAudio` with the message "the source `what`". Wrap only calls of PyAV."""
    try:
        yield
    except BROKEN_MEDIA as error:
        raise UnusableAudio(f"the source {what} ({reason(error)})") from error


def reason(error: Exception) -> str:
    """Return FFmpeg's own message."""
    return getattr(error, "strerror", None) or str(error)
