"""Check the size in a WAV or AIFF header, which decoders ignore."""

from __future__ import annotations

#: Bytes of the header to read.
HEAD = 8

#: Sizes written by programs that stream and cannot know the real one.
_UNKNOWN = 0x7FFF_0000


def missing_bytes(head: bytes, size: int) -> int:
    """Return how many bytes a file of `size` bytes lacks according to its header `head`; 0 if that gives no size."""
    if len(head) < HEAD or head[:4] not in (b"RIFF", b"FORM"):
        return 0
    claimed = int.from_bytes(head[4:HEAD], "little" if head[:4] == b"RIFF" else "big")
    return max(0, claimed + HEAD - size) if claimed < _UNKNOWN else 0
