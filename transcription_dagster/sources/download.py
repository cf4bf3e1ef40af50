"""Download one remote file: streamed to disk, resumed after a broken connection, verified and bounded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import BinaryIO, Protocol

from transcription_dagster.atomic_files import replacing
from transcription_dagster.errors import SourceRefused, SourceUnavailable, TimeLimitExceeded, UnusableAudio

#: Consecutive attempts without progress before giving up.
_TRIES = 5
_LONGEST_PAUSE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Limits on the download of one source."""

    max_bytes: int
    #: Wall time for the whole download.
    seconds: float
    #: Wall time in seconds without a byte after which a connection is abandoned.
    stall_seconds: float
    #: Pause after the first failure; doubles with each further one.
    pause_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the content at a URI."""

    size: int | None
    #: Empty if the server sends none; a broken download then starts over.
    etag: str
    #: Name of a hashlib algorithm, and the expected hexadecimal digest of the whole content.
    digest: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class SourceAnswer:
    """The bytes of a version from `offset` on: the requested offset, or 0."""

    version: Version
    offset: int
    chunks: Iterator[bytes]


class Remote(Protocol):
    """A remote file."""

    @property
    def uri(self) -> str: ...

    def open(self, offset: int, version: Version | None) -> AbstractContextManager[SourceAnswer]:
        """Request the bytes from `offset` on if the content is still `version`, else the whole current content.

        Raises `SourceNotFound`, `SourceRefused` or `SourceUnavailable`, possibly while the chunks are read.
        """
        ...


class RetryLater(SourceUnavailable):
    """The source asked the client to wait before the next request."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class RangeRefused(SourceUnavailable):
    """The content ends before the requested range, for example because it has become shorter."""


def download(remote: Remote, target: Path, limits: DownloadLimits) -> Version:
    """Download `remote` to `target`, which is created only once the content is complete and verified.

    Raises `SourceRefused` if the file is too large, `UnusableAudio` if it is empty, `TimeLimitExceeded`, or the last
    error of `remote.open`.
    """
    with replacing(target) as file:
        return _Transfer(remote, file, limits).run()


class _Transfer:
    """The state of a download between attempts."""

    def __init__(self, remote: Remote, file: BinaryIO, limits: DownloadLimits) -> None:
        self._remote = remote
        self._file = file
        self._limits = limits
        self._deadline = monotonic() + limits.seconds
        self._start_over(None)

    def run(self) -> Version:
        failures = 0
        while True:
            before = self._received
            try:
                self._receive()
                return self._verified()
            except SourceUnavailable as error:
                if isinstance(error, RangeRefused):
                    self._start_over(None)
                failures = 1 if self._received > before else failures + 1
                if failures >= _TRIES:
                    raise
                self._pause(error, failures)

    def _receive(self) -> None:
        with self._remote.open(self._received, self._version) as answer:
            if answer.offset == 0:
                self._start_over(answer.version)
            if answer.version.size and answer.version.size > self._limits.max_bytes:
                raise self._too_large(answer.version.size)
            for chunk in answer.chunks:
                self._write(chunk)

    def _write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        if self._hash:
            self._hash.update(chunk)
        self._received += len(chunk)
        if self._received > self._limits.max_bytes:
            raise self._too_large(self._received)
        if monotonic() > self._deadline:
            raise self._too_slow()

    def _start_over(self, version: Version | None) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._received = 0
        self._version = version
        self._hash = hashlib.new(version.digest[0], usedforsecurity=False) if version and version.digest else None

    def _verified(self) -> Version:
        version = self._version
        if version is None:
            raise SourceUnavailable(f"{self._remote.uri} did not answer")
        if self._received == 0 and not version.size:
            raise UnusableAudio(f"{self._remote.uri} is empty")
        if version.size is not None and self._received != version.size:
            received = self._received
            if received > version.size:
                self._start_over(None)
            raise SourceUnavailable(f"{self._remote.uri} gave {received} bytes of {version.size}")
        if self._hash and version.digest and self._hash.hexdigest() != version.digest[1].lower():
            self._start_over(None)
            raise SourceUnavailable(f"{self._remote.uri} arrived with a wrong {version.digest[0]} checksum")
        return version

    def _pause(self, error: SourceUnavailable, failures: int) -> None:
        pause = error.seconds if isinstance(error, RetryLater) else self._limits.pause_seconds * 2 ** (failures - 1)
        if pause > _LONGEST_PAUSE_SECONDS:
            raise error
        if monotonic() + pause > self._deadline:
            raise self._too_slow() from error
        sleep(pause)

    def _too_large(self, size: int) -> SourceRefused:
        return SourceRefused(f"{self._remote.uri} has {size} bytes or more, over the limit of {self._limits.max_bytes}")

    def _too_slow(self) -> TimeLimitExceeded:
        return TimeLimitExceeded(
            f"{self._remote.uri} was not fetched within {self._limits.seconds:g} s: {self._received} bytes arrived"
        )
