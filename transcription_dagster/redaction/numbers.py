"""Numbers in a text, written or dictated: "4111 1111 …", "four five double two"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile, groupby, islice, pairwise

from transcription_dagster.language.spelling import folded_words
from transcription_dagster.language.writing_rules import word_set
from transcription_dagster.model import Word
from transcription_dagster.redaction.number_words import HUNDRED, NumberWords, number_words

#: Sounds of hesitation, within numbers and addresses.
HESITATIONS = frozenset({"uh", "um", "uhm", "er", "erm", "hm", "hmm", "äh", "ähm", "euh", "eh", "ehm"})

#: Words between two digits that are not part of the number: hesitations, and what people say while they look the number
#: up, write it down or correct themselves. One list for all languages, since speakers mix them.
_BETWEEN = HESITATIONS | word_set(
    "mm mhm ah dash hyphen space comma wait sorry okay ok okey then so well let me see again right yes yep yeah yup",
    "sure got it gotcha",
    "warte moment sekunde also genau ja gut dann jetzt bindestrich strich komma",
    "attendez attends voyons alors bon ben donc hein oui d'accord puis tiret virgule",
    "espera espere pues bueno este luego sí vale claro guion guión coma",
    "aspetti aspetta allora dunque poi sì va bene trattino virgola",
    "espere então sim certo depois hífen vírgula",
    "wacht even dus streepje",
)
#: "And" joins dictated digits, but only between stretches of at least this many single ones.
_AND = frozenset({"and", "und", "et", "y", "e", "en"})
_DICTATED = 3
#: Between a letter and a word that begins with it: "G for golf".
_AS_IN = frozenset({"for", "as", "in", "like", "wie", "comme", "como", "come", "van"})
#: A written amount: thousands in groups, a decimal, or with an ending or a percent sign.
_AMOUNT = re.compile(
    r"[1-9]\d{0,2}([.,' ])\d{3}(\1\d{3})*((?!\1)[.,]\d+)?|\d+[.,]\d{1,2}|\d+(st|nd|rd|th|s|%)", re.ASCII
)
_DAY, _MONTH = r"(0?[1-9]|[12]\d|3[01])", r"(0?[1-9]|1[0-2])"
_DATE = re.compile(
    rf"{_DAY}[./-]{_MONTH}[./-](\d\d)?\d\d|{_MONTH}[./-]{_DAY}[./-](\d\d)?\d\d|\d{{4}}-{_MONTH}-{_DAY}", re.ASCII
)
#: Such as 3.11.7.
_VERSION = re.compile(r"(0|[1-9]\d?)(\.(0|[1-9]\d{0,2})){2}", re.ASCII)
_YEAR = re.compile(r"(19|20)\d\d", re.ASCII)
#: Digits, with letters among them or not; a letter or two; or capitals, as in an IBAN.
_WRITTEN = re.compile(r"\+?[\dA-Za-z]*\d[\dA-Za-z]*|[A-Za-z]{1,2}|[A-Z]{3,4}", re.ASCII)
_SEPARATORS = re.compile(r"[-–/.,()\s·]+")
_EDGES = "\"'“”‘’«»([{.,;:!?…)]}"
#: Fewer numbers in a row are not counting; numbers below ten are only if they count from or to 0 or 1.
_MIN_COUNTED = 3
_COUNTED = 10
#: Long numbers are written in groups of this many digits; a group of fewer next to a year is a count.
_GROUP = 3


@dataclass(frozen=True, slots=True)
class Sign:
    """A letter (capital) or digit of a number, and the word that contains it."""

    character: str
    word: int


def number_runs(words: Sequence[Word], language: str) -> list[list[Sign]]:
    """Return the numbers in a text, spoken or written, sign by sign: runs of digits and of individually spoken letters.

    Amounts, dates, years and counting are excluded, except for a year between other groups of digits. `language`, of
    the words without one of their own, is ISO 639-1 or BCP 47; spoken digits are recognised in English, German, French,
    Spanish, Italian, Portuguese and Dutch.
    """
    runs = _Runs()
    spelled = [folded_words(word.text) for word in words]
    for index, word in enumerate(words):
        known = number_words(word.language or language)
        parts = spelled[index]
        if parts and all(part in known.values or part == known.joint or part in known.repeats for part in parts):
            if runs.add_spoken(parts, index, known, is_followed=_is_dictated(spelled, index + 1, known)):
                continue
        elif (
            runs.skips(parts)
            or _is_spelling(spelled, index)
            or (_AND.issuperset(parts) and runs.is_dictated() and _is_dictated(spelled, index + 1, known))
        ):
            continue
        runs.add_written(_written(words, index), index)
    with_digits = [run for run in runs.runs if any(sign.character.isdigit() for sign in run)]
    return [run for run in with_digits if not _is_amount(run, words) and not _is_counting(run)]


def _is_dictated(spelled: Sequence[Sequence[str]], first: int, known: NumberWords) -> bool:
    """Return whether the next words, from `first`, are single digits."""
    following = (parts for parts in spelled[first : first + 2 * _DICTATED] if not _BETWEEN.issuperset(parts))
    words = list(islice(following, _DICTATED))
    return len(words) == _DICTATED and all(len(known.values.get(part, "")) == 1 for parts in words for part in parts)


def _is_spelling(spelled: Sequence[Sequence[str]], index: int) -> bool:
    """Return whether a word only explains the letter before it: "for golf" after "G"."""
    for letter, joint in ((index - 1, index), (index - 2, index - 1)):
        if letter < 0 or len(spelled) < joint + 2 or len(spelled[letter]) != 1 or len(spelled[letter][0]) != 1:
            continue
        link, name = spelled[joint], spelled[joint + 1]
        if len(link) == 1 and link[0] in _AS_IN and name and name[0].startswith(spelled[letter][0]):
            return True
    return False


def _terms(run: Sequence[Sign]) -> list[str]:
    """Return the signs of each word of a run."""
    return ["".join(sign.character for sign in signs) for _, signs in groupby(run, lambda sign: sign.word)]


def _numbers(run: Sequence[Sign]) -> list[Sign]:
    """Return a run without the letters before and after its digits, which can be short words."""
    without_first = dropwhile(lambda sign: not sign.character.isdigit(), run)
    without_last = dropwhile(lambda sign: not sign.character.isdigit(), reversed(list(without_first)))
    return list(without_last)[::-1]


def _is_amount(run: Sequence[Sign], words: Sequence[Word]) -> bool:
    """Return whether thousands are separated by spaces: "1 234 567", but neither "+1 234 567" nor "612 345 678"."""
    numbers = _numbers(run)
    first, *groups = _terms(numbers)
    if first.startswith("0") or not words[numbers[0].word].text.strip(_EDGES).isdigit():
        return False
    if not groups or any(not group.isdigit() or len(group) != _GROUP for group in groups):
        return False
    return len(first) < _GROUP or (len(first) == _GROUP and set(groups) == {"000"})


def _is_counting(run: Sequence[Sign]) -> bool:
    """Return whether numbers follow each other at the same distance and count from or to 0 or 1, or beyond ten."""
    terms = _terms(_numbers(run))
    if len(terms) < _MIN_COUNTED or any(not term.isdigit() or len(term) > _GROUP for term in terms):
        return False
    numbers = [int(term) for term in terms]
    steps = {after - before for before, after in pairwise(numbers)}
    if len(steps) != 1 or 0 in steps or any(term.startswith("0") and len(term) > 1 for term in terms):
        return False
    return numbers[0] == 1 or numbers[-1] in (0, 1) or max(numbers) >= _COUNTED


class _Runs:
    """The runs so far, and how the next word continues the last of them."""

    def __init__(self) -> None:
        self.runs: list[list[Sign]] = [[]]
        #: How often the next digit counts: 2 after "double".
        self._repeat = 1
        #: Digits of the last number word, which the next one may belong to.
        self._last = ""
        self._after_joint = False

    def skips(self, parts: Sequence[str]) -> bool:
        """Return whether a word is skipped within a number."""
        if not self.runs[-1] or not parts:
            return False
        return all(part in _BETWEEN for part in parts) or (self._repeat > 1 and parts == ("die",))

    def is_dictated(self) -> bool:
        """Return whether the last words were single digits."""
        terms = _terms(self.runs[-1][-_DICTATED:])
        return len(terms) == _DICTATED and all(term.isdigit() and len(term) == 1 for term in terms)

    def add_spoken(self, parts: Sequence[str], index: int, known: NumberWords, *, is_followed: bool) -> bool:
        """Add number words, joined where they are one number; return False if they are not number words after all.

        `is_followed` says whether single digits follow.
        """
        for place, part in enumerate(parts):
            if part in known.repeats:
                self._repeat, self._last = known.repeats[part], ""
                continue
            if part == known.joint:
                if len(self._last) < 2 or not self._last.endswith("0"):
                    return False
                self._after_joint = True
                continue
            is_within = len(self._last) == 1 < len(self.runs[-1]) or (len(self._last) in (1, 2) and is_followed)
            if part == HUNDRED and not is_within:
                # An amount, and not "oh eight hundred" or "fifty-five hundred, zero zero …".
                return False
            whole = known.joined(self._last, part, in_word=place > 0, after_joint=self._after_joint)
            if whole is None:
                value = known.values[part]
                self.runs[-1] += [Sign(sign, index) for sign in value[:1] * (self._repeat - 1) + value]
            else:
                # The first digit stays with the word before.
                value, before = whole, self.runs[-1][-len(self._last)].word
                rest = [Sign(sign, index) for sign in whole[1:]]
                self.runs[-1][-len(self._last) :] = [Sign(whole[0], before), *rest]
            self._repeat, self._last, self._after_joint = 1, value, False
        return True

    def add_written(self, signs: str, index: int) -> None:
        """Add the signs of a written word; one without signs ends the run."""
        if not signs:
            self.runs.append([])
        self.runs[-1] += [Sign(sign, index) for sign in signs[:1] * (self._repeat - 1) + signs]
        self._repeat, self._last, self._after_joint = 1, "", False


def _written(words: Sequence[Word], index: int) -> str:
    """Return the signs of a written word; empty if it is an ordinary word, an amount, a date or a year by itself."""
    bare = words[index].text.strip(_EDGES + " ")
    if _YEAR.fullmatch(bare) and not any(_is_group(words, place) for place in (index - 1, index + 1)):
        return ""
    return _signs_in(bare)


def _is_group(words: Sequence[Word], index: int) -> bool:
    """Return whether a word is a group of digits that is no year."""
    bare = words[index].text.strip(_EDGES + " ") if 0 <= index < len(words) else ""
    signs = _signs_in(bare)
    return len(signs) >= _GROUP and any(sign.isdigit() for sign in signs) and not _YEAR.fullmatch(bare)


def _signs_in(bare: str) -> str:
    if not bare or any(pattern.fullmatch(bare) for pattern in (_AMOUNT, _DATE, _VERSION)):
        return ""
    pieces = [piece for piece in _SEPARATORS.split(bare) if piece]
    if not all(_WRITTEN.fullmatch(piece) for piece in pieces):
        return ""
    return "".join(pieces).removeprefix("+").upper()
