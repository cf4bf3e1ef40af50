"""The number words of languages, and how they join to one number: "forty-five", "quatre-vingt-dix-sept", "zwo"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

#: The numbers from 0 by language (ISO 639-1), while each is a word of its own; a slash separates alternatives.
_FROM_ZERO: Mapping[str, str] = {
    "en": "zero/oh/nought/naught one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen",
    "de": "null eins/ein zwei/zwo drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn "
    "sechzehn siebzehn achtzehn neunzehn",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis "
    "diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis "
    "veintisiete veintiocho veintinueve",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici "
    "diciassette diciotto diciannove",
    "pt": "zero um/uma dois/duas três quatro cinco seis/meia sete oito nove dez onze doze treze catorze/quatorze "
    "quinze dezesseis/dezasseis dezessete/dezassete dezoito dezenove/dezanove",
    "nl": "nul een/één twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien "
    "zeventien achttien negentien",
}
#: The tens from 20.
_TENS: Mapping[str, str] = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "de": "zwanzig dreißig/dreissig vierzig fünfzig sechzig siebzig achtzig neunzig",
    "fr": "vingt/vingts trente quarante cinquante soixante septante huitante/octante nonante",
    "es": "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "it": "venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
    "pt": "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
    "nl": "twintig dertig veertig vijftig zestig zeventig tachtig negentig",
}
#: Hundreds that are spoken within telephone numbers, from 100: "seiscientos doce".
_HUNDREDS: Mapping[str, str] = {
    "es": "cien/ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos",
    "it": "cento duecento trecento quattrocento cinquecento seicento settecento ottocento novecento",
}
#: In English telephone numbers, "oh eight hundred".
HUNDRED = "hundred"
#: Between tens and ones that are words of their own: "vingt et un", "treinta y cuatro".
_JOINTS: Mapping[str, str] = {"fr": "et", "es": "y", "pt": "e"}
_REPEATS: Mapping[str, Mapping[str, int]] = {
    "en": {"double": 2, "triple": 3, "treble": 3},
    "fr": {"double": 2, "triple": 3},
    "es": {"doble": 2, "triple": 3},
    "it": {"doppio": 2, "triplo": 3},
    "pt": {"duplo": 2, "triplo": 3},
    "nl": {"dubbel": 2},
    "de": {"doppel": 2, "zweimal": 2, "dreimal": 3},
}
_ONES = frozenset("123456789")


@dataclass(frozen=True, slots=True)
class NumberWords:
    """The number words of a language, folded."""

    language: str = ""
    #: Word -> digits.
    values: Mapping[str, str] = field(default_factory=dict)
    #: Word -> how often the next digit counts.
    repeats: Mapping[str, int] = field(default_factory=dict)
    joint: str | None = None

    def joined(self, before: str, word: str, *, in_word: bool, after_joint: bool) -> str | None:
        """Return the digits of a number word together with those before it; None if they are two numbers.

        `in_word` says whether a hyphen is all that separates them, `after_joint` whether a joint does.
        """
        value = self.values[word]
        if self.language == "fr":
            # "Trente quatre", but not "quatre vingt", which can be 4 and 20.
            is_joined = in_word or after_joint or (len(before) == 2 and before.endswith("0"))
            return _french(before, value, is_vingt=word.startswith("vingt")) if is_joined else None
        if len(before) == 3 and before.endswith("00") and len(value) <= 2 and before[0] != "0":
            return before[0] + value.zfill(2) if self.language in _HUNDREDS else None
        if len(before) == 3 and before[1] > "1" and before.endswith("0"):
            return before[:2] + value if value in _ONES and after_joint else None
        is_tens = len(before) == 2 and before.endswith("0") and before > "10"
        return before[0] + value if is_tens and value in _ONES and (after_joint or self.joint is None) else None


@lru_cache(maxsize=16)
def number_words(language: str) -> NumberWords:
    """Return the number words of a language (ISO 639-1 or BCP 47); none if the language is not one of those above."""
    code = language.partition("-")[0].lower()
    if code not in _FROM_ZERO:
        return NumberWords()
    ones = [spellings.split("/") for spellings in _FROM_ZERO[code].split()]
    tens = [spellings.split("/") for spellings in _TENS[code].split()]
    values = {word: str(value) for value, words in enumerate(ones) for word in words}
    values |= {word: str(10 * value) for value, words in enumerate(tens, start=2) for word in words}
    for value, words in enumerate(tens, start=2):
        values |= {
            compound: f"{value}{one}"
            for ten in words
            for one in range(1, 10)
            for unit in ones[one]
            for compound in _compounds(code, ten, unit)
        }
    for value, spellings in enumerate(_HUNDREDS.get(code, "").split(), start=1):
        values |= dict.fromkeys(spellings.split("/"), str(100 * value))
    if code in ("de", "it"):
        values |= _whole_hundreds(code, ones, values)
    if code == "en":
        values[HUNDRED] = "00"
    return NumberWords(code, values, _REPEATS[code], _JOINTS.get(code))


def _whole_hundreds(code: str, ones: Sequence[Sequence[str]], below: Mapping[str, str]) -> dict[str, str]:
    """Return the numbers from 100 to 999 that are one word: "hunderteinundsiebzig", "trecentotrentatré"."""
    hundreds = [(value, f"{word}hundert") for value in range(1, 10) for word in ones[value]] + [(1, "hundert")]
    if code == "it":
        hundreds = [(value, word) for value, word in enumerate(_HUNDREDS["it"].split(), start=1)]
    whole = {word: str(100 * value) for value, word in hundreds}
    for rest, digits in below.items():
        if len(digits) <= 2 and digits != "0":
            whole |= {f"{word}{rest}": f"{value}{digits.zfill(2)}" for value, word in hundreds}
            whole |= {f"{word}und{rest}": f"{value}{digits.zfill(2)}" for value, word in hundreds if code == "de"}
    return whole


def _french(before: str, value: str, *, is_vingt: bool) -> str | None:
    """Return a French number below a hundred: "soixante-douze", "quatre-vingt-dix-sept", "vingt et un"."""
    if before == "4" and is_vingt:
        return "80"
    if before in ("60", "80") and "10" <= value < "20":
        return str(int(before) + int(value))
    if before in ("10", "70", "90"):
        return before[0] + value if value in ("7", "8", "9") else None
    return before[0] + value if len(before) == 2 and before.endswith("0") and value in _ONES else None


def _compounds(code: str, ten: str, unit: str) -> tuple[str, ...]:
    """Return a number below a hundred where it is one word: "neunundachtzig", "quarantacinque"."""
    match code:
        case "de":
            return (f"{unit}und{ten}",)
        case "nl":
            return (f"{unit}ën{ten}" if unit.endswith("e") else f"{unit}en{ten}",)
        case "it":
            whole = f"{ten[:-1]}{unit}" if unit in ("uno", "otto") else f"{ten}{unit}"
            return (whole, f"{ten}tré") if unit == "tre" else (whole,)
        case _:
            return ()
