"""Spoken numbers and addresses: "four five double two", "john dot smith at example dot com"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transcription_dagster.language.spelling import tokens
from transcription_dagster.model import Word

#: The digits by language (ISO 639-1), from 0; alternatives are separated by a slash.
_DIGIT_WORDS: Mapping[str, str] = {
    "en": "zero/oh/nought/naught one two three four five six seven eight nine",
    "de": "null eins/ein zwei/zwo drei vier fünf sechs sieben acht neun",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "it": "zero uno due tre quattro cinque sei sette otto nove",
    "pt": "zero um/uma dois/duas três quatro cinco seis/meia sete oito nove",
    "nl": "nul een/één twee drie vier vijf zes zeven acht negen",
}
#: English numbers below a hundred, as people group them in long numbers: "forty-five thirty-two".
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_REPEATS: Mapping[str, Mapping[str, int]] = {
    "en": {"double": 2, "triple": 3, "treble": 3},
    "fr": {"double": 2, "triple": 3},
    "es": {"doble": 2, "triple": 3},
    "it": {"doppio": 2, "triplo": 3},
    "pt": {"duplo": 2, "triplo": 3},
    "nl": {"dubbel": 2},
    "de": {"doppel": 2},
}
#: Spoken forms of "@" and "." in an address.
_AT: Mapping[str, frozenset[str]] = {
    "en": frozenset({"at"}),
    "de": frozenset({"at", "ät", "klammeraffe"}),
    "fr": frozenset({"arobase", "at"}),
    "es": frozenset({"arroba"}),
    "it": frozenset({"chiocciola"}),
    "pt": frozenset({"arroba"}),
    "nl": frozenset({"apenstaartje", "at"}),
}
_DOT: Mapping[str, frozenset[str]] = {
    "en": frozenset({"dot"}),
    "de": frozenset({"punkt", "dot"}),
    "fr": frozenset({"point"}),
    "es": frozenset({"punto"}),
    "it": frozenset({"punto"}),
    "pt": frozenset({"ponto"}),
    "nl": frozenset({"punt"}),
}
#: Words between two digits that are not part of the number.
_BETWEEN = frozenset(
    {"uh", "um", "uhm", "er", "erm", "äh", "ähm", "euh", "eh", "ehm", "dash", "hyphen", "space", "and"}
)
#: A written amount: thousands in groups, a decimal, or with a currency or a percent sign.
_AMOUNT = re.compile(r"\d{1,3}([.,' ]\d{3})+([.,]\d+)?|\d+[.,]\d{1,2}|\d+(st|nd|rd|th|s|%)", re.ASCII)
_YEAR = re.compile(r"(19|20)\d\d", re.ASCII)
_WRITTEN = re.compile(r"\+?[\dA-Za-z]*\d[\dA-Za-z]*|[A-Za-z]{1,2}", re.ASCII)
_SEPARATORS = re.compile(r"[-–/.()\s·]+")
_EDGES = "\"'“”‘’«»([{.,;:!?…)]}"


@dataclass(frozen=True, slots=True)
class Sign:
    """A letter (capital) or digit of a number, and the word that contains it."""

    character: str
    word: int


def number_runs(words: Sequence[Word], language: str) -> list[list[Sign]]:
    """Return the numbers in a text, spoken or written, sign by sign: runs of digits and of individually spoken letters.

    Amounts and years are excluded. `language` is ISO 639-1 or BCP 47; spoken digits are recognised in English, German,
    French, Spanish, Italian, Portuguese and Dutch.
    """
    code = language.partition("-")[0].lower()
    digits = _digits(code)
    runs: list[list[Sign]] = [[]]
    repeat = 1
    for index, word in enumerate(words):
        parts = tokens(word.text)
        if parts and all(part in _REPEATS.get(code, {}) for part in parts):
            repeat = _REPEATS[code][parts[-1]]
            continue
        if runs[-1] and parts and all(part in _BETWEEN and part not in digits for part in parts):
            continue
        said = _signs_in(word.text, parts, digits)
        if not said:
            runs.append([])
        runs[-1] += [Sign(sign, index) for sign in (said[:1] * (repeat - 1) + said)]
        repeat = 1
    return [run for run in runs if any(sign.character.isdigit() for sign in run)]


def spoken_address(words: Sequence[Word], language: str) -> list[tuple[int, int]]:
    """Return addresses spoken as words: `first` up to but excluding `stop`."""
    code = language.partition("-")[0].lower()
    at, dot = _AT.get(code, frozenset()), _DOT.get(code, frozenset())
    texts = [" ".join(tokens(word.text)) for word in words]
    found = []
    for index in (index for index, text in enumerate(texts) if text in at):
        stop = index + 2
        # The domain has a dot; further labels follow in pairs of a dot and a word.
        while stop + 1 < len(texts) and texts[stop] in dot:
            stop += 2
        written = index + 1 < len(words) and re.fullmatch(r"[\w-]+(\.[\w-]+)+", words[index + 1].text.strip(_EDGES))
        if index == 0 or (stop == index + 2 and not written):
            continue
        first = index - 1
        while first >= 2 and texts[first - 1] in dot | {"underscore", "dash", "hyphen"}:
            first -= 2
        found.append((first, min(stop, len(words))))
    return found


def _digits(code: str) -> Mapping[str, str]:
    words = {
        word: str(value) for value, said in enumerate(_DIGIT_WORDS.get(code, "").split()) for word in said.split("/")
    }
    if code == "en":
        words |= {word: str(value) for value, word in enumerate(_TEENS.split(), start=10)}
        words |= {word: str(value * 10) for value, word in enumerate(_TENS.split(), start=2)}
    return words


def _signs_in(text: str, parts: Sequence[str], digits: Mapping[str, str]) -> str:
    """Return the signs of a number in a word; empty if it is an ordinary word, an amount or a year."""
    if parts and all(part in digits for part in parts):
        values = [digits[part] for part in parts]
        if len(values) == 2 and len(values[0]) == 2 and values[0].endswith("0") and len(values[1]) == 1:
            return values[0][0] + values[1]
        return "".join(values)
    bare = text.strip(_EDGES + " ")
    if not bare or _AMOUNT.fullmatch(bare) or _YEAR.fullmatch(bare):
        return ""
    pieces = [piece for piece in _SEPARATORS.split(bare) if piece]
    if not all(_WRITTEN.fullmatch(piece) for piece in pieces):
        return ""
    return "".join(pieces).removeprefix("+").upper()
