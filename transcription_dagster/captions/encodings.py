"""The encoding of a text file: told by its byte order mark, by UTF-8's own form, or by what its letters spell."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from charset_normalizer import from_bytes

from transcription_dagster.errors import InvalidCaptions

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: What subtitles in a single-byte encoding nearly always are, where the letters do not tell.
_WESTERN = "cp1252"
#: The encodings of subtitles before UTF-8: Windows' code pages, and those of East Asia.
_CANDIDATES = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp932", "gb18030", "cp949")


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A text, and what it takes to write it the same way."""

    text: str
    encoding: str
    mark: bytes = b""
    #: Whether the encoding was concluded from the letters, and may be wrong.
    guessed: bool = False

    def encode(self, text: str) -> bytes:
        """Another text in the same encoding. Raises `InvalidCaptions` for a character that it does not have."""
        try:
            return self.mark + text.encode(self.encoding)
        except UnicodeEncodeError as problem:
            line = text.count("\n", 0, problem.start) + 1
            raise InvalidCaptions(
                f"line {line}: {text[problem.start]!r} cannot be written in {self.encoding}, the captions' encoding: "
                f"convert the captions to UTF-8 first (iconv -f {self.encoding} -t utf-8)"
            ) from None


def decode(data: bytes, encoding: str | None = None) -> EncodedText:
    """Decode a text file, whose encoding may be given. Raises `InvalidCaptions` for bytes that are no text in it."""
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return EncodedText(_decoded(data[len(mark) :], marked), marked, mark)
    if encoding:
        return EncodedText(_decoded(data, encoding), encoding)
    head = data[:4000]
    if b"\0" in head:
        wide = "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be"
        return EncodedText(_decoded(data, wide), wide, guessed=True)
    try:
        return EncodedText(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        guess = _guess(data)
        return EncodedText(_decoded(data, guess), guess, guessed=True)


def _guess(data: bytes) -> str:
    # Short texts fit many encodings equally well: another one has to spell plainly better than the usual one.
    matches = from_bytes(data, cp_isolation=list(_CANDIDATES))
    best = matches.best()
    western = next((match for match in matches if _WESTERN in (match.encoding, *match.could_be_from_charset)), None)
    if best is None or (western is not None and western.chaos <= best.chaos and western.coherence >= best.coherence):
        return _WESTERN
    return best.encoding


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise InvalidCaptions(f"line {line}: byte {problem.start} is not {encoding}") from None
