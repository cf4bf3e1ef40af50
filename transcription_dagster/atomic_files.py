"""Write files atomically."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def is_stream(path: Path) -> bool:
    """Return whether `path` is a device, a pipe or a socket, or a link to one."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file that replaces `target` when the block ends, or is removed when the block raises.

    Creates the folder of `target` if it is missing. Readers see the old file or the new one, never a partial file.
    A device or a pipe, such as /dev/null, is written to instead: a file must not take its place.
    """
    if is_stream(target):
        with target.open("wb") as stream:
            yield stream
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # A file name may have 255 bytes, and `target`'s may already use all of them.
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
