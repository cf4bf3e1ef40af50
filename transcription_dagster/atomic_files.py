"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Yield a file open for writing that becomes `target` when the block ends, and is removed when it raises.

    The folder of `target` is made if it is missing. Readers see the old file or the new one, never a part of it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # A file name holds 255 bytes, and the target's may use them all.
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
