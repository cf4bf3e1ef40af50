"""The protocol that every source of recordings implements, and the values it returns."""

from __future__ import annotations

import posixpath
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Protocol

from transcription_dagster.errors import InvalidRecordingId
from transcription_dagster.model import RECORDING_NAMESPACE, recording_id

#: Extensions of audio and video files; every other file in a folder or bucket is ignored.
_MEDIA = (
    "3g2 3gp 3gp2 3gpp 3gpp2 722 aa3 aac ac3 act adts aif aifc aiff al alaw amr ape asf au avi awb bwf caf divx dsf "
    "dss dts ec3 eac3 f4a f4b f4v flac flv g722 g723 g723_1 g729 gsm m2a m2t m2ts m2v m4a m4b m4r m4v mj2 mka mkv "
    "mov mp+ mp1 mp2 mp3 mp4 mpa mpc mpe mpeg mpg mpga mts mxf nist nut oga ogg ogm ogv ogx oma opus qcp qt ra rco "
    "rf64 rm rmvb sln sln16 snd sox sph spx tak tco thd ts tta ul ulaw vob voc vqf w64 wav wave weba webm wma wmv "
    "wv xwma"
)


@dataclass(frozen=True, slots=True)
class SourceObject:
    """One version of a recording's source."""

    uuid: str
    uri: str
    #: Bytes; None if the source does not report a size.
    size: int | None
    #: Changes when the content changes.
    etag: str
    modified: datetime | None
    #: Passed to `Source.acknowledge`; empty if the source needs no acknowledgement.
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a source."""

    objects: tuple[SourceObject, ...]
    #: Where the next page begins; None starts over.
    cursor: str | None
    #: True on the last page.
    exhausted: bool
    #: One line for each skipped entry, with the reason.
    problems: tuple[str, ...] = ()
    #: Receipts of messages that announced no recording.
    receipts: tuple[str, ...] = ()


class Source(Protocol):
    """A place from which recordings come. Creating one does no I/O."""

    @property
    def name(self) -> str:
        """Name for sensors and logs: letters, digits and underscores."""
        ...

    @property
    def page_size(self) -> int:
        """The most efficient number of objects per request."""
        ...

    def list(self, cursor: str | None, limit: int) -> Listing:
        """List up to about `limit` objects after `cursor`, or from the beginning.

        Raises `SourceNotFound`, `SourceRefused` or `SourceUnavailable` if the source cannot be listed.
        """
        ...

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """Confirm that runs were requested for these objects, so that their messages can be deleted."""
        ...


def pages(source: Source, cursor: str | None, seconds: float) -> Iterator[Listing]:
    """Yield the pages of a source, each fetched on demand, until the last one or until `seconds` have passed."""
    deadline = monotonic() + seconds
    while True:
        page = source.list(cursor, source.page_size)
        yield page
        cursor = page.cursor
        if page.exhausted or monotonic() >= deadline:
            return


def recording_of(uri: str, name: str) -> str:
    """Return a recording's UUID: the file's stem if that is a UUID in either case, else a UUIDv5 of the URI."""
    try:
        return recording_id(posixpath.splitext(posixpath.basename(name))[0].lower())
    except InvalidRecordingId:
        return str(uuid.uuid5(RECORDING_NAMESPACE, uri))


def is_media(name: str) -> bool:
    """Return whether a file's extension is that of audio or video."""
    return posixpath.splitext(name)[1].removeprefix(".").lower() in _MEDIA.split()
