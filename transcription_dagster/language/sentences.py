"""Split a text into sentences, and into pieces that a service accepts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SENTENCE_END = re.compile(r"(?:[.!?…][\"'”’»)\]]*\s+|[。！？｡؟।]+[」』”’]*\s*|\s*\n\s*)")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A part of a text, starting at the character `start`."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def cut_text(text: str, max_bytes: int) -> Sequence[TextPiece]:
    """Cut a text into consecutive pieces of at most `max_bytes` bytes of UTF-8.

    A piece ends after its last whole sentence, or else its last whole word, or else at the limit.
    `max_bytes` is at least 4, the longest character.
    """
    pieces: list[TextPiece] = []
    start = 0
    while start < len(text):
        fitting = text[start : start + max_bytes].encode()[:max_bytes].decode(errors="ignore")
        if start + len(fitting) < len(text):
            fitting = fitting[: _last_end(fitting)]
        pieces.append(TextPiece(fitting, start))
        start += len(fitting)
    return pieces


def sentences(text: str) -> Sequence[str]:
    """Return the sentences of a text without surrounding whitespace."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    parts = (text[first:last].strip() for first, last in zip([0, *ends], [*ends, len(text)], strict=True))
    return [part for part in parts if part]


def _last_end(text: str) -> int:
    for boundary in (_SENTENCE_END, _SPACE):
        ends = [match.end() for match in boundary.finditer(text)]
        if ends:
            return ends[-1]
    return len(text)
