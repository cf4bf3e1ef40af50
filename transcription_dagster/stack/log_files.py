"""The log files of a home, and removing a recording from them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path

#: A record begins with a date (ours, supervisor's, Dagster's, Postgres's) or a level (uvicorn's). Lines without either,
#: such as a traceback, belong to the record before.
_RECORD = re.compile(rb"^(?=\d{4}-\d\d-\d\d[ T]|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):)", re.MULTILINE)


def remove_records(folder: Path, words: Collection[str]) -> int:
    """Remove the records that contain one of the words from the log files in a folder; return their number.

    The files are rewritten in place, because programs have them open for appending: a record written at that very
    moment may be lost. Raises `OSError`.
    """
    sought = [word.encode() for word in words]
    return sum(_sweep(path, sought) for path in sorted(folder.glob("*.log*")) if path.is_file())


def _sweep(path: Path, sought: list[bytes]) -> int:
    with path.open("r+b") as file:
        content = file.read()
        kept, removed = _kept(content, sought)
        if not removed:
            return 0
        # Appended in the meantime.
        kept += file.read()
        file.seek(0)
        file.write(kept)
        file.truncate()
    return removed


def _kept(content: bytes, sought: list[bytes]) -> tuple[bytes, int]:
    records = list(_records(content))
    kept = [record for record in records if not any(word in record for word in sought)]
    return b"".join(kept), len(records) - len(kept)


def _records(content: bytes) -> Iterator[bytes]:
    starts = [found.start() for found in _RECORD.finditer(content)]
    borders = sorted({0, *starts, len(content)})
    for start, stop in pairwise(borders):
        yield content[start:stop]
