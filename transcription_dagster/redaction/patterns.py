"""Find personal data in a transcript by validated patterns: card numbers, accounts, e-mail addresses and the like."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from transcription_dagster.language.spelling import folded_words
from transcription_dagster.model import Word
from transcription_dagster.redaction.numbers import Sign, number_runs
from transcription_dagster.redaction.spoken_addresses import spoken_addresses

#: The kinds from most to least certain; words that match several are of the first of them.
KINDS = ("iban", "card", "email", "ssn", "phone", "digits")

#: Length of an IBAN by country (ISO 13616, from SWIFT's registry).
_IBAN_LENGTHS: Mapping[str, int] = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}
_IBAN_START = re.compile(r"[A-Z]{2}\d\d", re.ASCII)
#: Payment card numbers begin with 2 to 6 and have 13 to 19 digits (ISO/IEC 7812).
_CARD_LENGTHS = range(19, 12, -1)
_CARD_STARTS = "23456"
#: Fewer are never dialled from outside. E.164 allows 15 digits, but a number that the other speaker reads back makes
#: one longer row.
_MIN_DIALLED = 7
_MIN_DIGITS = 4
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(\.[\w-]+)+")
#: US Social Security numbers: no area 000, 666 or from 900 on, no group 00, no serial 0000.
_SSN = re.compile(r"(?!000|666|9)\d{3}(?!00)\d{2}(?!0000)\d{4}", re.ASCII)
_SSN_FORM = re.compile(r"\d{3}-\d{2}-\d{4}", re.ASCII)
_SSN_WORDS = frozenset({"social", "ssn"})
_IBAN_WORDS = frozenset({"iban", "ibans"})
_CARD_WORDS = frozenset(
    {"card", "visa", "mastercard", "amex", "karte", "kreditkarte", "kartennummer", "carte", "tarjeta", "carta"}
    | {"cartão", "kaart", "creditcard"}
)
#: Number of words before a number that are searched for its name.
_BEFORE = 10


#: Yields the data in a run of signs: the first sign, the sign after the last one, and the kind.
FindInRun = Callable[[Sequence[Sign]], Iterator[tuple[int, int, str]]]


@dataclass(frozen=True, slots=True, order=True)
class Detection:
    """Personal data of one kind: the words `first` up to but excluding `stop`."""

    first: int
    stop: int
    kind: str


def find_patterns(words: Sequence[Word], kinds: Collection[str], language: str) -> list[Detection]:
    """Return the data of these kinds, in order and without overlap; `language` is ISO 639-1 or BCP 47."""
    by_kind: Mapping[str, Callable[[Sequence[Sequence[Sign]]], Iterator[Detection]]] = {
        "iban": lambda runs: chain(_in_runs(runs, _ibans), _with_names(words, runs, _misheard_ibans, _IBAN_WORDS)),
        "card": lambda runs: chain(_in_runs(runs, _cards), _with_names(words, runs, _misheard_cards, _CARD_WORDS)),
        "email": lambda _: _emails(words, language),
        "ssn": lambda runs: _ssns(words, runs),
        "phone": lambda runs: _in_runs(runs, _phones),
        "digits": lambda runs: _in_runs(runs, _digit_rows),
    }
    runs: Sequence[Sequence[Sign]] = number_runs(words, language)
    detections: list[Detection] = []
    claimed: set[int] = set()
    for kind in KINDS:
        # More certain kinds take precedence even if they are not requested: a card number is not a telephone number.
        for each in by_kind[kind](runs):
            span = range(each.first, each.stop)
            if claimed.isdisjoint(span):
                claimed.update(span)
                detections += [each] if kind in kinds else []
        # What follows a card number, such as its security code, is a number of its own.
        runs = [list(rest) for run in runs for is_claimed, rest in groupby(run, _is_in(claimed)) if not is_claimed]
    return sorted(detections)


def _is_in(words: Collection[int]) -> Callable[[Sign], bool]:
    return lambda sign: sign.word in words


def _with_names(
    words: Sequence[Word], runs: Sequence[Sequence[Sign]], find: FindInRun, names: Collection[str]
) -> Iterator[Detection]:
    """Find numbers with their name shortly before them: the checksum of a misheard number fails."""
    yield from (each for each in _in_runs(runs, find) if not _words_before(words, each.first).isdisjoint(names))


def _misheard_ibans(run: Sequence[Sign]) -> Iterator[tuple[int, int, str]]:
    text = "".join(sign.character for sign in run)
    start = _IBAN_START.search(text)
    if start and len(text) - start.start() in range(min(_IBAN_LENGTHS.values()), max(_IBAN_LENGTHS.values()) + 2):
        yield start.start(), len(text), "iban"


def _misheard_cards(run: Sequence[Sign]) -> Iterator[tuple[int, int, str]]:
    yield from ((first, stop, "card") for first, stop in _digit_rows_of(run) if stop - first in _CARD_LENGTHS)


def _words_before(words: Sequence[Word], place: int) -> set[str]:
    """Return the folded words before a number that may name it."""
    return {token for word in words[max(0, place - _BEFORE) : place] for token in folded_words(word.text)}


def _in_runs(runs: Sequence[Sequence[Sign]], find: FindInRun) -> Iterator[Detection]:
    for run in runs:
        for first, stop, kind in find(run):
            yield Detection(run[first].word, run[stop - 1].word + 1, kind)


def _ibans(run: Sequence[Sign]) -> Iterator[tuple[int, int, str]]:
    text = "".join(sign.character for sign in run)
    for first in range(len(text) - 4):
        stop = first + _IBAN_LENGTHS.get(text[first : first + 2], len(text) + 1)
        if stop <= len(text) and is_iban(text[first:stop]):
            yield first, stop, "iban"


def is_iban(text: str) -> bool:
    """Return whether capital letters and digits without spaces are an IBAN, by length and checksum (mod 97)."""
    if len(text) != _IBAN_LENGTHS.get(text[:2]) or not text[2:4].isdigit() or not text.isalnum():
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def is_card(digits: str) -> bool:
    """Return whether digits are a card number, by first digit, length and Luhn checksum."""
    if len(digits) not in _CARD_LENGTHS or digits[0] not in _CARD_STARTS or len(set(digits)) == 1:
        return False
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(value - 9 * (value > 9) for value in doubled)) % 10 == 0


def _cards(run: Sequence[Sign]) -> Iterator[tuple[int, int, str]]:
    for begin, end in _digit_rows_of(run):
        first = begin
        while first < end:
            stop = next((first + size for size in _CARD_LENGTHS if _is_card_at(run, first, first + size, end)), None)
            if stop:
                yield first, stop, "card"
            first = stop or first + 1


def _is_card_at(run: Sequence[Sign], first: int, stop: int, end: int) -> bool:
    """Match whole words only: a card number does not begin inside a word."""
    if stop > end or (first and run[first - 1].word == run[first].word):
        return False
    if stop < len(run) and run[stop].word == run[stop - 1].word:
        return False
    return is_card("".join(sign.character for sign in run[first:stop]))


def _phones(run: Sequence[Sign]) -> Iterator[tuple[int, int, str]]:
    yield from ((first, stop, "phone") for first, stop in _digit_rows_of(run) if stop - first >= _MIN_DIALLED)


def _digit_rows(run: Sequence[Sign]) -> Iterator[tuple[int, int, str]]:
    yield from ((first, stop, "digits") for first, stop in _digit_rows_of(run) if stop - first >= _MIN_DIGITS)


def _digit_rows_of(run: Sequence[Sign]) -> Iterator[tuple[int, int]]:
    """Yield the stretches of digits in a run of digits and letters."""
    first = 0
    for place in range(len(run) + 1):
        if place == len(run) or not run[place].character.isdigit():
            if place > first:
                yield first, place
            first = place + 1


def _emails(words: Sequence[Word], language: str) -> Iterator[Detection]:
    for index, word in enumerate(words):
        if _EMAIL.search(word.text):
            yield Detection(index, index + 1, "email")
    yield from (Detection(first, stop, "email") for first, stop in spoken_addresses(words, language))


def _ssns(words: Sequence[Word], runs: Sequence[Sequence[Sign]]) -> Iterator[Detection]:
    """Yield only certain cases: numbers in the usual format, or with their name shortly before them."""
    for run in runs:
        for first, stop in _digit_rows_of(run):
            if not _SSN.fullmatch("".join(sign.character for sign in run[first:stop])):
                continue
            begin, end = run[first].word, run[stop - 1].word + 1
            written = "".join(word.text for word in words[begin:end])
            if _SSN_FORM.search(written) or not _words_before(words, begin).isdisjoint(_SSN_WORDS):
                yield Detection(begin, end, "ssn")
