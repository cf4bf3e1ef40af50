"""Recordings in a local folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableSequence, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import time
from urllib.parse import quote_from_bytes, unquote_to_bytes

from transcription_dagster.errors import SourceNotFound
from transcription_dagster.sources.base import Listing, SourceObject, is_media, recording_of

#: A path below the folder, as bytes: file names need not be valid text.
_Parts = tuple[bytes, ...]
#: A file modified more recently than this may still be growing.
SETTLE_SECONDS = 5.0


class DirectorySource:
    """Lists the media files below a folder in name order.

    Skips hidden files and folders, symbolic links, and files modified within the last `SETTLE_SECONDS`.
    """

    name = "directory"
    #: Large, because each page reads all names of its folder.
    page_size = 50_000

    def __init__(self, folder: Path) -> None:
        self._folder = os.fsencode(folder.absolute())

    def list(self, cursor: str | None, limit: int) -> Listing:
        """List the files after `cursor`, the percent-encoded relative path of the last file."""
        if not os.path.isdir(self._folder):
            raise SourceNotFound(f"The folder {os.fsdecode(self._folder)} does not exist")
        after = tuple(unquote_to_bytes(cursor).split(b"/")) if cursor else ()
        problems: list[str] = []
        page = tuple(islice(_walk(self._folder, (), after, problems), limit))
        exhausted = len(page) < limit
        return Listing(
            objects=tuple(described for parts in page if (described := self._describe(parts, problems))),
            cursor=None if exhausted else quote_from_bytes(b"/".join(page[-1])),
            exhausted=exhausted,
            problems=tuple(problems),
        )

    def acknowledge(self, receipts: Sequence[str]) -> None:
        """Do nothing: the files stay in the folder."""

    def _describe(self, parts: _Parts, problems: MutableSequence[str]) -> SourceObject | None:
        path = os.path.join(self._folder, *parts)
        try:
            status = os.stat(path, follow_symlinks=False)
            modified = datetime.fromtimestamp(status.st_mtime, UTC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            problems.append(f"{os.fsdecode(path)!r} cannot be read: {error.strerror}")
            return None
        except (OverflowError, ValueError):
            problems.append(f"{os.fsdecode(path)!r} is left out: its modification time is not in the years 1 to 9999")
            return None
        if abs(time() - status.st_mtime) < SETTLE_SECONDS:
            return None
        return SourceObject(
            uuid=recording_of(uri := "file://" + quote_from_bytes(path), os.fsdecode(parts[-1])),
            uri=uri,
            size=status.st_size,
            etag=file_etag(status),
            modified=modified,
        )


def file_etag(status: os.stat_result) -> str:
    """Return a tag that changes when the file is rewritten."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _walk(folder: bytes, above: _Parts, after: _Parts, problems: MutableSequence[str]) -> Iterator[_Parts]:
    """Yield, in order, the path components of each media file below `folder` that sorts after `after`."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False))
                for entry in scan
            )
    except OSError as error:
        problems.append(f"{os.fsdecode(folder)!r} cannot be listed: {error.strerror}")
        return
    for name, is_folder, is_file in entries:
        parts = (*above, name)
        if name.startswith(b".") or parts < after[: len(parts)]:
            continue
        if is_folder:
            yield from _walk(os.path.join(folder, name), parts, after, problems)
        elif is_file and parts > after and is_media(os.fsdecode(name)):
            yield parts
