"""E-mail addresses in words: "john dot smith at example dot com"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from transcription_dagster.language.spelling import tokens
from transcription_dagster.model import Word
from transcription_dagster.redaction.number_words import number_words

#: What is said for "@" and "." in an address, and for the other marks, by language (ISO 639-1).
_AT: Mapping[str, str] = {
    "en": "at",
    "de": "at ät klammeraffe",
    "fr": "arobase at",
    "es": "arroba",
    "it": "chiocciola",
    "pt": "arroba",
    "nl": "apenstaartje at",
}
_DOT: Mapping[str, str] = {
    "en": "dot",
    "de": "punkt dot",
    "fr": "point",
    "es": "punto",
    "it": "punto",
    "pt": "ponto",
    "nl": "punt",
}
_MARKS: Mapping[str, str] = {
    "en": "underscore dash hyphen plus",
    "de": "unterstrich underscore bindestrich minus plus",
    "fr": "underscore tiret plus",
    "es": "guion guión barra más",
    "it": "underscore trattino più",
    "pt": "underline underscore sublinhado hífen traço mais",
    "nl": "underscore streepje koppelteken plus",
}
#: After a mark, that it is an underscore: "guion bajo".
_LOW = frozenset({"bajo", "baja", "bas", "basso"})
_DOMAIN = re.compile(r"@?[\w-]+(\.[\w-]+)+")
_VOWELS = frozenset("aeiouy")
_QUOTES = "\"'“”‘’«»)"


def spoken_addresses(words: Sequence[Word], language: str) -> list[tuple[int, int]]:
    """Return the addresses: the words `first` up to but excluding `stop`. `language` is ISO 639-1 or BCP 47."""
    code = language.partition("-")[0].lower()
    text = _Text(words, code)
    found: list[tuple[int, int]] = []
    for index in range(len(words)):
        at = text.at(index)
        if at is None:
            continue
        last, begin = at
        stop = text.domain_end(begin)
        if last < 0 or stop is None:
            continue
        first = text.local_start(last)
        # A sentence ends in no address.
        if not any(text.ends_sentence(place) for place in range(first, stop - 1)):
            found.append((first, stop))
    return found


class _Text:
    """The words of a recording as parts of addresses."""

    def __init__(self, words: Sequence[Word], code: str) -> None:
        self._words = words
        self._texts = [" ".join(tokens(word.text)) or word.text.strip() for word in words]
        self._ats = {"@", *_AT.get(code, "").split()}
        self._dots = {".", *_DOT.get(code, "").split()}
        self._marks = {"-", "_", *_MARKS.get(code, "").split()}
        self._numbers = number_words(code).values

    def at(self, index: int) -> tuple[int, int] | None:
        """Return where the part before an "@" ends and where its domain begins; None if the word has no "@"."""
        text = self._texts[index]
        if text in self._ats:
            return index - 1, index + 1
        if text.endswith("@"):
            return index, index + 1
        return (index - 1, index) if text.startswith("@") else None

    def domain_end(self, begin: int) -> int | None:
        """Return where a domain with at least one dot ends, which begins at a word; None if there is none."""
        if begin >= len(self._texts):
            return None
        has_dot = _DOMAIN.fullmatch(self._texts[begin]) is not None
        stop = begin + 1
        while stop + 1 < len(self._texts) and self._texts[stop] in self._dots | self._marks:
            has_dot |= self._texts[stop] in self._dots
            stop += 2 if self._texts[stop + 1] not in _LOW else 3
        return min(stop, len(self._texts)) if has_dot else None

    def local_start(self, last: int) -> int:
        """Return where the part before the "@" begins, which ends with the word `last`."""
        first = last
        while first > 0:
            mark = first - 1
            if mark > 0 and self._texts[mark] in _LOW and self._texts[mark - 1] in self._marks:
                mark -= 1
            if self._texts[mark] in self._dots | self._marks and mark > 0:
                first = mark - 1
            elif self._continues(first):
                first -= 1
            else:
                break
        return first

    def _continues(self, first: int) -> bool:
        """Return whether the word before `first` belongs to it: both are spelled, or numbers."""
        before, text = self._texts[first - 1], self._texts[first]
        if self._is_number(text):
            return True
        if len(before) == 1 and before.isascii() and before.isalpha():
            return len(text) == 1 or before not in _VOWELS
        return self._is_number(before) and len(text) == 1

    def _is_number(self, text: str) -> bool:
        return text.isdigit() or (bool(text) and all(part in self._numbers for part in text.split()))

    def ends_sentence(self, place: int) -> bool:
        text = self._words[place].text.rstrip(_QUOTES)
        return len(text) > 1 and text[-1] in ".?!"
