"""Numbers in a text, as they are written and as they are dictated: "4111 1111 …", "four five double two"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from transcription_dagster.language.spelling import tokens
from transcription_dagster.model import Word
from transcription_dagster.redaction.number_words import HUNDRED, NumberWords, number_words

#: Words between two digits that are not part of the number.
_BETWEEN = frozenset({"uh", "um", "uhm", "er", "erm", "äh", "ähm", "euh", "eh", "ehm", "dash", "hyphen", "space"})
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
_SEPARATORS = re.compile(r"[-–/.()\s·]+")
_EDGES = "\"'“”‘’«»([{.,;:!?…)]}"
#: Long numbers are written in groups of this many digits; a group of fewer next to a year is a count.
_GROUP = 3


@dataclass(frozen=True, slots=True)
class Sign:
    """A letter (capital) or digit of a number, and the word that contains it."""

    character: str
    word: int


def number_runs(words: Sequence[Word], language: str) -> list[list[Sign]]:
    """Return the numbers in a text, spoken or written, sign by sign: runs of digits and of individually spoken letters.

    Amounts, dates and years are excluded, except for a year between other groups of digits. `language`, of the words
    without one of their own, is ISO 639-1 or BCP 47; spoken digits are recognised in English, German, French, Spanish,
    Italian, Portuguese and Dutch.
    """
    runs = _Runs()
    for index, word in enumerate(words):
        known = number_words(word.language or language)
        parts = tokens(word.text)
        if parts and all(part in known.values or part == known.joint for part in parts):
            if runs.take_spoken(parts, index, known):
                continue
        elif runs.take_between(parts, known):
            continue
        runs.take_written(_written(words, index), index)
    return [run for run in runs.runs if any(sign.character.isdigit() for sign in run)]


class _Runs:
    """The runs so far, and how the next word continues the last of them."""

    def __init__(self) -> None:
        self.runs: list[list[Sign]] = [[]]
        #: How often the next digit is said.
        self._repeat = 1
        #: Digits of the last number word, which the next one may belong to.
        self._last = ""
        self._after_joint = False

    def take_between(self, parts: Sequence[str], known: NumberWords) -> bool:
        """Note a repeat, or pass over a hesitation; returns whether the word is one of them."""
        if parts and all(part in known.repeats for part in parts):
            self._repeat, self._last = known.repeats[parts[-1]], ""
            return True
        return bool(self.runs[-1] and parts and all(part in _BETWEEN for part in parts))

    def take_spoken(self, parts: Sequence[str], index: int, known: NumberWords) -> bool:
        """Add number words, joined where they are one number; returns False if they are none after all."""
        for place, part in enumerate(parts):
            if part == known.joint:
                if not (len(self._last) == 2 and self._last.endswith("0")):
                    return False
                self._after_joint = True
                continue
            if part == HUNDRED and not (len(self._last) == 1 < len(self.runs[-1])):
                # An amount, and not "oh eight hundred".
                return False
            whole = known.joined(self._last, part, in_word=place > 0, after_joint=self._after_joint)
            if whole is None:
                value = known.values[part]
                self.runs[-1] += [Sign(sign, index) for sign in value[:1] * (self._repeat - 1) + value]
            else:
                # The first digit stays with the word before.
                value, before = whole, self.runs[-1][-len(self._last)].word
                self.runs[-1][-len(self._last) :] = [Sign(whole[0], before), Sign(whole[1], index)]
            self._repeat, self._last, self._after_joint = 1, value, False
        return True

    def take_written(self, said: str, index: int) -> None:
        """Add the signs of a written word; one without signs ends the run."""
        if not said:
            self.runs.append([])
        self.runs[-1] += [Sign(sign, index) for sign in said[:1] * (self._repeat - 1) + said]
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
