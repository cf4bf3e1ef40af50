"""Detect a text file's encoding by its byte order mark, by valid UTF-8, or by its words."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
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
#: The most common single-byte encoding of subtitles, used if no word is conclusive.
_WESTERN = "cp1252"
#: Encodings of subtitles before UTF-8 (Windows code pages and East Asian ones) and their languages.
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
#: Rarer encodings (of Taiwan, Unix, the Baltic, DOS and the Mac), which have to fit much better.
_RARE: dict[str, tuple[str, ...]] = {
    "cp950": ("zh",),
    "euc_jp": ("ja",),
    "cp1257": ("lv", "lt"),
    "iso8859_2": ("pl", "cs", "hu", "sk", "sl", "sh"),
    "koi8_u": ("ru", "uk"),
    "cp866": ("ru",),
    "mac_roman": ("en", "de", "fr", "es", "it", "pt"),
    "cp850": ("en", "de", "fr", "es", "it", "pt"),
}
#: Encodings of scripts other than Latin; some of them put no space between words.
_OTHER_SCRIPTS = frozenset(
    {"cp1251", "cp1253", "cp1255", "cp1256", "koi8_u", "cp866", "cp932", "gb18030", "cp949", "cp950", "euc_jp"}
)
_UNSPACED = frozenset({"cp932", "gb18030", "cp949", "cp950", "euc_jp"})
#: The escape sequences by which seven-bit Japanese text (of e-mail) switches to its characters.
_SEVEN_BITS = re.compile(rb"\x1b\$[@B]")
#: Full-width kana, which are rare in any wrong decoding.
_KANA = re.compile("[\u3041-\u30ff]")
#: Minimum share of non-ASCII words that a language must know, and its minimum lead over other decodings.
_MIN_KNOWN, _MIN_LEAD = 0.5, 0.25
#: Minimum share for an encoding of `_RARE`.
_RARE_KNOWN = 0.75
#: Minimum Zipf frequency of a known word, and of a common character.
_KNOWN_WORD, _COMMON_CHARACTER = 2.0, 3.5
#: Lead bytes of the 5,401 frequent characters of Big5; word lists hold the simplified ones.
_COMMON_IN_TAIWAN = range(0xA4, 0xC7)
_ASCII = re.compile(r"[\x00-\x7f]")
#: Box-drawing characters of DOS, which no subtitle has.
_FRAMES = re.compile("[\u2500-\u259f]")
_LONGEST_SAMPLE = 20_000
_WORDS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A text with its encoding, so that it can be written the same way."""

    text: str
    encoding: str
    mark: bytes = b""
    #: True if the encoding was guessed from the letters and may be wrong.
    guessed: bool = False

    def encode(self, text: str) -> bytes:
        """Encode a text the same way. Raises `InvalidCaptions` for a character that the encoding lacks."""
        try:
            return self.mark + text.encode(self.encoding)
        except UnicodeEncodeError as problem:
            line = text.count("\n", 0, problem.start) + 1
            raise InvalidCaptions(
                f"line {line}: {text[problem.start]!r} cannot be written in {self.encoding}, the captions' encoding: "
                f"convert the captions to UTF-8 first (iconv -f {self.encoding} -t utf-8)"
            ) from None


def decode(data: bytes, encoding: str | None = None) -> EncodedText:
    """Decode a text file, in the given encoding or a detected one.

    Raises `InvalidCaptions` for bytes that are invalid in the encoding, or if none is given and none is certain.
    """
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return EncodedText(_decoded(data[len(mark) :], marked), marked, mark)
    if encoding:
        return EncodedText(_decoded(data, encoding), encoding)
    head = data[:4000].rstrip(b"\0")
    if b"\0" in head:
        wide = "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be"
        return EncodedText(_decoded(data, wide), wide, guessed=True)
    if _SEVEN_BITS.search(data):
        return EncodedText(_decoded(data, "iso2022_jp"), "iso2022_jp", guessed=True)
    try:
        return EncodedText(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        guess = _guess(data)
        return EncodedText(_decoded(data, guess), guess, guessed=True)


def _guess(data: bytes) -> str:
    """Guess the encoding whose languages know the words. Raises `InvalidCaptions` if another fits nearly as well."""
    readings = _readings(data, _CANDIDATES)
    western = readings.get(_WESTERN)
    if western is not None and not _distinctive_words(western, _WESTERN):
        return _WESTERN
    known = {encoding: _known_share(text, encoding) for encoding, text in readings.items()}
    rare_readings = _readings(data, _RARE)
    rare = {encoding: _known_share(text, encoding) for encoding, text in rare_readings.items()}
    least_rare = max(_RARE_KNOWN, max(known.values(), default=0.0) + _MIN_LEAD)
    if encoding := _clear_winner(rare_readings, rare, least_rare):
        return encoding
    if encoding := _clear_winner(readings, known, _MIN_KNOWN):
        return encoding
    best = ", ".join(sorted(known, key=lambda encoding: -known[encoding])[:3]) or _WESTERN
    raise InvalidCaptions(
        f"the text is not UTF-8, and too short or unusual to detect its encoding: "
        f"give it with --encoding (likely {best})"
    )


def _readings(data: bytes, encodings: Iterable[str]) -> dict[str, str]:
    """Return the beginning of the text in each encoding that can read it."""
    readings: dict[str, str] = {}
    for encoding in encodings:
        try:
            readings[encoding] = data.decode(encoding)[:_LONGEST_SAMPLE]
        except UnicodeDecodeError:
            continue
    return readings


def _clear_winner(readings: Mapping[str, str], known: Mapping[str, float], least: float) -> str | None:
    """Return the encoding with the largest share of known words, if it reaches `least` and leads by `_MIN_LEAD`."""
    best = max(known, key=known.__getitem__, default=None)
    if best is None or known[best] < least:
        return None
    others = [known[encoding] for encoding in known if readings[encoding] != readings[best]]
    return best if known[best] - max(others, default=0.0) >= _MIN_LEAD else None


def _distinctive_words(text: str, encoding: str) -> list[str]:
    """Return the non-ASCII words, which only the right encoding spells; for East Asian languages, the characters."""
    if encoding in _UNSPACED:
        return [character for character in text if not character.isascii() and character.isalpha()]
    words = [word.lower() for word in _WORDS.findall(text) if not word.isascii()]
    # Single letters are words of some language and prove nothing beside longer words.
    return [word for word in words if len(word) > 1] or words


def _is_impossible(text: str, encoding: str, distinctive: Sequence[str]) -> bool:
    """Return whether a reading cannot be right, however many of its words are known."""
    # A few accented letters of a Western text, read as another script.
    weight = 10 if encoding in _UNSPACED else 4
    if encoding in _OTHER_SCRIPTS and len("".join(distinctive)) * weight < sum(map(str.isalpha, _ASCII.findall(text))):
        return True
    if encoding in ("gb18030", "cp950") and sum(bool(_KANA.match(char)) for char in distinctive) * 5 > len(distinctive):
        return True
    return _FRAMES.search(text) is not None


def _known_share(text: str, encoding: str) -> float:
    """Return the largest share of the words, 0 to 1, that a language of this encoding knows."""
    distinctive = _distinctive_words(text, encoding)
    if _is_impossible(text, encoding, distinctive):
        return 0.0
    least = _COMMON_CHARACTER if encoding in _UNSPACED else _KNOWN_WORD

    def known(language: str) -> int:
        return sum(
            is_known(word, language=language, least=least)
            or (language == "ja" and _KANA.match(word) is not None)
            or (encoding == "cp950" and word.encode(encoding)[0] in _COMMON_IN_TAIWAN)
            for word in distinctive
        )

    return max(map(known, (_CANDIDATES | _RARE)[encoding])) / max(1, len(distinctive))


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise InvalidCaptions(f"line {line}: byte {problem.start} is not {encoding}") from None
