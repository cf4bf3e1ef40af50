"""The encoding of a text file: known by its byte order mark or by UTF-8's own form, or concluded from its words."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from transcription_dagster.errors import InvalidCaptions
from transcription_dagster.language.common_words import is_known

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: What subtitles in a single-byte encoding nearly always are, where no word tells.
_WESTERN = "cp1252"
#: The encodings of subtitles before UTF-8, Windows' code pages and those of East Asia, with the languages they write.
_CANDIDATES: dict[str, tuple[str, ...]] = {
    _WESTERN: ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "is", "ca"),
    "cp1250": ("pl", "cs", "hu", "ro", "sk", "sl", "sh"),
    "cp1251": ("ru", "uk", "bg", "mk", "sh"),
    "cp1253": ("el",),
    "cp1254": ("tr",),
    "cp1255": ("he",),
    "cp1256": ("ar", "fa", "ur"),
    "cp932": ("ja",),
    "gb18030": ("zh",),
    "cp949": ("ko",),
}
_UNSPACED = frozenset({"cp932", "gb18030", "cp949"})
#: Full-width kana, which no other reading of the bytes gives often.
_KANA = re.compile("[\u3041-\u30ff]")
#: The share of the words beyond ASCII that a language has to know, and its lead over every other reading.
_LEAST_KNOWN, _LEAST_LEAD = 0.5, 0.25
#: On the Zipf scale: a word that a language has, and a character that it uses often.
_KNOWN_WORD, _COMMON_CHARACTER = 2.0, 3.5
_LONGEST_SAMPLE = 20_000
_WORDS = re.compile(r"[^\W\d_]+")


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
    """Decode a text file, whose encoding may be given.

    Raises `InvalidCaptions` for bytes that are no text in it, and if no encoding is given and none is certain.
    """
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
    """The encoding whose languages know the words. Raises `InvalidCaptions` if another reading is nearly as good."""
    readings: dict[str, str] = {}
    for encoding in _CANDIDATES:
        try:
            readings[encoding] = data.decode(encoding)[:_LONGEST_SAMPLE]
        except UnicodeDecodeError:
            continue
    western = readings.get(_WESTERN)
    if western is not None and not _telling(western, _WESTERN):
        return _WESTERN
    known = {encoding: _known_share(text, encoding) for encoding, text in readings.items()}
    ranked = sorted(known, key=lambda encoding: -known[encoding])
    best = ranked[0] if ranked else _WESTERN
    others = [known[encoding] for encoding in ranked[1:] if readings[encoding] != readings[best]]
    if known.get(best, 0.0) < _LEAST_KNOWN or known[best] - max(others, default=0.0) < _LEAST_LEAD:
        likely = ", ".join(ranked[:3]) or _WESTERN
        raise InvalidCaptions(
            f"the text is not UTF-8, and too short or unusual to conclude its encoding from: "
            f"give it with --encoding (likely {likely})"
        )
    return best


def _telling(text: str, encoding: str) -> list[str]:
    """The words of a reading beyond ASCII, which only the right encoding spells; in East Asia single characters."""
    if encoding in _UNSPACED:
        return [character for character in text if not character.isascii() and character.isalpha()]
    words = [word.lower() for word in _WORDS.findall(text) if not word.isascii()]
    # Every single letter is a word of some language: it tells nothing beside longer words.
    return [word for word in words if len(word) > 1] or words


def _known_share(text: str, encoding: str) -> float:
    """The share of the telling words that the language of this encoding knows that knows most, 0 to 1."""
    telling = _telling(text, encoding)
    least = _COMMON_CHARACTER if encoding in _UNSPACED else _KNOWN_WORD

    def known(language: str) -> int:
        return sum(
            is_known(word, language=language, least=least) or (language == "ja" and _KANA.match(word) is not None)
            for word in telling
        )

    return max(map(known, _CANDIDATES[encoding])) / max(1, len(telling))


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise InvalidCaptions(f"line {line}: byte {problem.start} is not {encoding}") from None
