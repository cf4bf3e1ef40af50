"""Find dictated e-mail addresses: "john dot smith at example dot com"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from transcription_dagster.language.spelling import folded_words
from transcription_dagster.language.writing_rules import FUNCTION_WORDS, word_set
from transcription_dagster.model import Word
from transcription_dagster.redaction.number_words import number_words
from transcription_dagster.redaction.numbers import HESITATIONS

#: The words for "@" and "." in an address, and for the other marks, by language (ISO 639-1).
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
#: A word after a mark that makes it an underscore: "guion bajo".
_LOW = frozenset({"bajo", "baja", "bas", "basso"})
_DOMAIN = re.compile(r"[\w-]+(\.[\w-]+)+")
_VOWELS = frozenset("aeiouy")
_QUOTES = "\"'“”‘’«»)"
#: Providers whose dot is often not transcribed: "jane at gmail com".
_PROVIDERS = word_set(
    "gmail googlemail hotmail outlook yahoo icloud live msn aol gmx web freenet orange wanadoo laposte free libero",
    "protonmail proton",
)
_TOP_LEVELS = frozenset({"com", "net", "org", "de", "fr", "es", "it", "pt", "nl", "ch", "at", "uk", "me"})
#: Words that introduce an address: the words after them are part of it ("it's jane smith at gmail dot com").
_LEADS = word_set(
    "is it's its to at email e-mail mail address ist an unter lautet adresse est c'est à es a al correo è é naar op",
    "per para",
)
#: Words before "at" with which a web site follows, not the rest of an address: "find us at example dot com".
_AT_A_PLACE = word_set(
    "me us him them here there look looks looked looking work works worked working find found buy bought shop visit",
    "available online start started live lives company team",
)
#: Most words between a lead and the part of an address that is recognised without it.
_MAX_WORDS = 2
#: Most letters of a domain that are spelled one by one: "g mail".
_MAX_LETTERS = 4


def spoken_addresses(words: Sequence[Word], language: str) -> list[tuple[int, int]]:
    """Return the addresses: the words `first` up to but excluding `stop`. `language` is ISO 639-1 or BCP 47."""
    code = language.partition("-")[0].lower()
    before: tuple[str, ...] = ()
    #: The words that can be parts of an address: no hesitations, and "tiret du bas", an underscore, without "du".
    fluent: list[int] = []
    for index, word in enumerate(words):
        parts = folded_words(word.text)
        if not HESITATIONS.issuperset(parts or [""]) and (before, parts) != (("tiret",), ("du",)):
            fluent.append(index)
        before = parts
    text = _Text([words[index] for index in fluent], code)
    addresses = [address for at in range(len(fluent)) if (address := text.address(at))]
    return [(fluent[first], fluent[stop - 1] + 1) for first, stop in addresses]


class _Text:
    """The words of a recording as parts of addresses."""

    def __init__(self, words: Sequence[Word], code: str) -> None:
        self._words = words
        self._texts = [" ".join(folded_words(word.text)) or word.text.strip() for word in words]
        self._ats = {"@", *_AT.get(code, "").split()}
        self._dots = {".", *_DOT.get(code, "").split()}
        self._marks = {"-", "_", *_MARKS.get(code, "").split()}
        self._numbers = number_words(code).values

    def address(self, index: int) -> tuple[int, int] | None:
        """Return the words [first, stop) of the address whose "@" is the word `index`; None if there is none."""
        at = self._at(index)
        if at is None:
            return None
        last, begin = at
        stop = self._domain_end(begin) if last >= 0 else None
        if stop is None:
            return None
        first = self._local_start(last)
        if self._texts[index] == "at" and first == last and self._texts[last] in FUNCTION_WORDS | _AT_A_PLACE:
            return None
        # No sentence ends inside an address.
        if any(self._ends_sentence(place) for place in range(first, stop - 1)):
            return None
        return self._with_words_before(first), stop

    def _at(self, index: int) -> tuple[int, int] | None:
        """Return where the part before an "@" ends and where its domain begins; None if the word has no "@"."""
        text = self._texts[index]
        if text in self._ats:
            return index - 1, index + (2 if self._texts[index + 1 : index + 2] == ["sign"] else 1)
        if text.endswith("@"):
            return index, index + 1
        if text.startswith("@"):
            return index - 1, index
        return (index, index) if "@" in text else None

    def _domain_end(self, begin: int) -> int | None:
        """Return the end of the domain that begins at a word and has a dot; None if there is no such domain."""
        after_letters = begin
        while after_letters < min(begin + _MAX_LETTERS, len(self._texts)) and len(self._texts[after_letters]) == 1:
            after_letters += 1
        if after_letters > begin:
            # The letters belong to the name after them, or are the name if a dot follows.
            is_dot = after_letters < len(self._texts) and self._texts[after_letters] in self._dots
            begin = after_letters - 1 if is_dot else after_letters
        if begin >= len(self._texts):
            return None
        name = self._texts[begin].rpartition("@")[2]
        if name in FUNCTION_WORDS and self._dots.issuperset(self._texts[begin + 1 : begin + 2]):
            # "The dot com bubble".
            return None
        has_dot = _DOMAIN.fullmatch(name) is not None
        stop = begin + 1
        if name in _PROVIDERS and not has_dot and self._texts[stop : stop + 1] and self._texts[stop] in _TOP_LEVELS:
            return stop + 1
        while stop + 1 < len(self._texts) and self._texts[stop] in self._dots | self._marks:
            has_dot |= self._texts[stop] in self._dots
            stop += 2 if self._texts[stop + 1] not in _LOW else 3
        return min(stop, len(self._texts)) if has_dot else None

    def _with_words_before(self, first: int) -> int:
        """Return where an address begins if the words back to a lead are part of it."""
        for begin in range(first - 1, max(0, first - 1 - _MAX_WORDS), -1):
            text = self._texts[begin]
            if text in FUNCTION_WORDS | _LEADS or not text.isalpha() or not self._words[begin].text[-1].isalpha():
                break
            if self._texts[begin - 1] in _LEADS:
                return begin
        return first

    def _local_start(self, last: int) -> int:
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

    def _ends_sentence(self, place: int) -> bool:
        text = self._words[place].text.rstrip(_QUOTES)
        return len(text) > 1 and text[-1] in ".?!"
