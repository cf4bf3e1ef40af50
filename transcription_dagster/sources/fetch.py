"""Fetch a recording's source to the local disk, and create the sources that the settings name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from transcription_dagster.errors import SourceNotFound, SourceRefused, SourceUnavailable, UnusableAudio
from transcription_dagster.settings import Settings
from transcription_dagster.sources.base import Source
from transcription_dagster.sources.directory import DirectorySource, file_etag
from transcription_dagster.sources.download import DownloadLimits, download
from transcription_dagster.sources.http import WebClient, WebFile
from transcription_dagster.sources.ib import IbSource
from transcription_dagster.sources.s3 import S3File, S3Source
from transcription_dagster.sources.sqs import SqsSource
from transcription_dagster.urls import shown_url


@dataclass(frozen=True, slots=True)
class FetchedSource:
    """A source on disk. `path` may be the original file itself: never delete it."""

    path: Path
    size: int
    etag: str


def open_sources(settings: Settings) -> Sequence[Source]:
    """Create the sources that the settings name; none by default. Does no I/O."""
    sources: list[Source] = []
    if settings.source_directory:
        sources.append(DirectorySource(settings.source_directory))
    if settings.source_s3:
        sources.append(S3Source(settings.source_s3))
    if settings.source_sqs:
        sources.append(SqsSource(settings.source_sqs))
    if settings.ib_list_url:
        sources.append(IbSource(settings))
    return sources


def fetch(uri: str, target: Path, settings: Settings) -> FetchedSource:
    """Fetch a source from an absolute path, `file://`, `s3://`, or `https://` on an allowed host.

    A local file is used in place; anything else is written atomically to `target`.

    Raises `SourceNotFound`, `SourceRefused` (not allowed, or too large), `UnusableAudio` (empty, or a web page),
    `SourceUnavailable`, or `TimeLimitExceeded`.
    """
    scheme, separator, _ = uri.partition("://")
    if not separator or scheme == "file":
        return _on_disk(_local_path(uri), settings)
    limits = _limits(settings)
    if scheme == "s3":
        version = download(S3File(uri, limits), target, limits)
    elif scheme in ("https", "http"):
        with closing(WebClient(settings)) as client:
            version = download(WebFile(uri, client), target, limits)
    else:
        raise SourceRefused(f"{shown_url(uri)!r} is neither a path nor a file://, s3:// or https:// address")
    return FetchedSource(target, target.stat().st_size, version.etag)


def _limits(settings: Settings) -> DownloadLimits:
    return DownloadLimits(
        max_bytes=int(settings.max_source_gb * 1e9),
        seconds=settings.source_time_limit_seconds,
        stall_seconds=settings.source_stall_seconds,
    )


def _local_path(uri: str) -> Path:
    if uri.startswith("file://"):
        host, slash, path = uri.removeprefix("file://").partition("/")
        if host not in ("", "localhost"):
            raise SourceRefused(f"{shown_url(uri)!r} is a file on another machine")
        uri = os.fsdecode(unquote_to_bytes(slash + path))
    if not os.path.isabs(uri):
        raise SourceRefused(f"{shown_url(uri)!r} is not an absolute path; workers do not share a working folder")
    if "\0" in uri:
        raise SourceRefused(f"{shown_url(uri)!r} is not a path")
    return Path(uri)


@contextmanager
def unchanged(source: FetchedSource) -> Iterator[None]:
    """Raise `SourceUnavailable`, also in place of another error, if the file changes or disappears in the block.

    A local source is read in place, and may still be growing: its beginning must not pass for the whole recording.
    """
    before = _state(source.path)
    try:
        yield
    except Exception as error:
        if _state(source.path) != before:
            raise _changed(source) from error
        raise
    if _state(source.path) != before:
        raise _changed(source)


def _state(path: Path) -> str | None:
    """Return a tag of a file's content; None without the file."""
    try:
        return file_etag(path.stat())
    except OSError:
        return None


def _changed(source: FetchedSource) -> SourceUnavailable:
    return SourceUnavailable(
        f"{str(source.path)!r} was changed or removed while it was read; copy recordings under a temporary name, and "
        "rename them when they are complete"
    )


def _on_disk(path: Path, settings: Settings) -> FetchedSource:
    """Check a local file by its resolved path, so that no link leads outside the allowed folders."""
    try:
        real = path.resolve(strict=True)
        status = real.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise SourceNotFound(
            f"{str(path)!r} does not exist on this machine: restore it, mount its folder, or name another source"
        ) from None
    except OSError as error:
        raise SourceRefused(f"{str(path)!r} cannot be read: {error.strerror}") from error
    _check_folder(real, settings)
    if not stat.S_ISREG(status.st_mode):
        raise SourceRefused(f"{str(path)!r} is not a file")
    if not os.access(real, os.R_OK):
        raise SourceRefused(f"{str(path)!r} is not readable by this user")
    if status.st_size == 0:
        raise UnusableAudio(f"{str(path)!r} is empty")
    limit = _limits(settings).max_bytes
    if status.st_size > limit:
        raise SourceRefused(
            f"{str(path)!r} has {status.st_size} bytes, more than the limit of {limit}; see TRANSCRIPTION_MAX_SOURCE_GB"
        )
    return FetchedSource(real, status.st_size, file_etag(status))


def _check_folder(path: Path, settings: Settings) -> None:
    """Refuse a path outside the allowed folders and the store, which contains uploads."""
    if settings.source_folders is None:
        return
    store = [_local_path(settings.store_url)] if settings.store_url.startswith("file://") else []
    if not any(path.is_relative_to(folder.resolve()) for folder in [*settings.source_folders, *store]):
        raise SourceRefused(f"{str(path)!r} is outside the folders in TRANSCRIPTION_SOURCE_FOLDERS")
