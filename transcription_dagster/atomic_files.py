"""Write files atomically."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file that replaces `target` when the block ends, or is removed when the block raises.

    Creates the folder of `target` if it is missing. Readers see the old file or the new one, never a partial file.
    """
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
