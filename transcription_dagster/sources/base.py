"""What every source of recordings has in common."""

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

#: Extensions of files that hold sound; a file with any other name in a folder or bucket is ignored.
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
    #: Bytes; None where the source does not say.
    size: int | None
    #: Changes when the content changes.
    etag: str
    modified: datetime | None
    #: What `Source.acknowledge` takes for it; empty where the source wants no acknowledgement.
    receipt: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a source."""

    objects: tuple[SourceObject, ...]
    #: Where the next page begins; None: at the beginning again.
    cursor: str | None
    #: Whether this page was the last.
    exhausted: bool
    #: A line for each thing that was left out, and why.
    problems: tuple[str, ...] = ()
    #: Receipts of messages that held no recording.
    receipts: tuple[str, ...] = ()


class Source(Protocol):
    """A place where recordings come from. Opening one does no I/O."""

    @property
    def name(self) -> str:
        """A name for sensors and logs: letters, digits and underscores."""
        ...

    @property
    def page_size(self) -> int:
        """How many objects it is best asked for at once."""
        ...

    def list(self, cursor: str | None, limit: int) -> Listing:
        """List up to about `limit` objects after `cursor`, or from the beginning.

        Raises `SourceNotFound`, `SourceRefused` or `SourceUnavailable` when there is nothing to be listed from.
        """
        ...

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """Say that the runs of these objects have been asked for, and that their messages may go."""
        ...


def pages(source: Source, cursor: str | None, seconds: float) -> Iterator[Listing]:
    """List a source page by page until its end, or until `seconds` have passed; each page when it is asked for."""
    deadline = monotonic() + seconds
    while True:
        page = source.list(cursor, source.page_size)
        yield page
        cursor = page.cursor
        if page.exhausted or monotonic() >= deadline:
            return


def recording_of(uri: str, name: str) -> str:
    """The recording's UUID: the file's own name where it is a UUID, in either case, else a UUIDv5 of its URI."""
    try:
        return recording_id(posixpath.splitext(posixpath.basename(name))[0].lower())
    except InvalidRecordingId:
        return str(uuid.uuid5(RECORDING_NAMESPACE, uri))


def is_media(name: str) -> bool:
    """Whether a file's name says that it holds sound."""
    return posixpath.splitext(name)[1].removeprefix(".").lower() in _MEDIA.split()
