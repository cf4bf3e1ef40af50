"""What the header of a WAV or AIFF file says about its size; decoders read to the end of the file and never ask."""

from __future__ import annotations

#: Bytes of the header that are looked at.
HEAD = 8

#: Programs that write a stream cannot know its size, and put the largest number they can think of.
_UNKNOWN = 0x7FFF_0000


def missing_bytes(head: bytes, size: int) -> int:
    """Return how many bytes a file of `size` that starts with `head` lacks by its own account; 0 if it gives none."""
    if len(head) < HEAD or head[:4] not in (b"RIFF", b"FORM"):
        return 0
    claimed = int.from_bytes(head[4:HEAD], "little" if head[:4] == b"RIFF" else "big")
    return max(0, claimed + HEAD - size) if claimed < _UNKNOWN else 0
