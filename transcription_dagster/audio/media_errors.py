"""Broken media, told apart from everything else that can go wrong while it is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import av.error

from transcription_dagster.errors import UnusableAudio

#: What PyAV raises for a broken file. Where FFmpeg does not notice that it is broken, the fields that PyAV reads hold
#: nonsense, or nothing.
BROKEN_MEDIA = (av.error.FFmpegError, ValueError, OverflowError, ZeroDivisionError, AttributeError, TypeError)


@contextmanager
def media_errors(what: str) -> Iterator[None]:
    """Raise `UnusableAudio`, saying that the source `what`, for what PyAV raises inside. Only for calls of PyAV."""
    try:
        yield
    except BROKEN_MEDIA as error:
        raise UnusableAudio(f"the source {what} ({reason(error)})") from error


def reason(error: Exception) -> str:
    """Return why FFmpeg failed, in its own words."""
    return getattr(error, "strerror", None) or str(error)
