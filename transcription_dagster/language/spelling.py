"""Compare words as letters and as sounds, to tell an edit of punctuation from an edit of speech."""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher

#: Unicode punctuation that belongs to a word, as in "C#", "R&D" and "50%".
_PART_OF_WORDS = frozenset("@#%&*")
_HYPHENS = re.compile(r"[-‐‑‒–—]+")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'"})
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\W_]+(?=\d)")

#: A coarse phonetic alphabet: sounds that a listener may confuse become one letter.
_SOUNDS = (
    (re.compile(r"ph|v"), "f"),
    (re.compile(r"[sc]?sch|sh|c(?=[eiy])|z"), "s"),
    (re.compile(r"x"), "ks"),
    (re.compile(r"ch|ck|[cqgj]"), "k"),
    (re.compile(r"th|d"), "t"),
    (re.compile(r"b"), "p"),
    (re.compile(r"[aeiouyhw]"), ""),
    (re.compile(r"(.)\1+"), r"\1"),
)


def affixes(text: str) -> tuple[str, str, str]:
    """Split a displayed word into the punctuation before it, the word itself, and the punctuation after it."""
    first, stop = 0, len(text)
    while first < stop and _is_punctuation(text[first]):
        first += 1
    while stop > first and _is_punctuation(text[stop - 1]):
        stop -= 1
    return text[:first], text[first:stop], text[stop:]


def fold(text: str) -> str:
    """Normalise `text` for comparison: NFKC, case-folded, no surrounding punctuation, straight apostrophes."""
    return affixes(unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold())[1]


def folded_words(text: str) -> tuple[str, ...]:
    """Return the folded words of `text`; the parts of a hyphenated word count as words."""
    folded = (fold(part) for word in text.split() for part in _HYPHENS.split(word))
    return tuple(token for token in folded if token)


def letters(text: str) -> str:
    """Return only the letters and digits of `text`, and any character between two digits, which changes their value.

    Two texts with the same letters sound the same: they differ in case, punctuation or spaces.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    pieces = _BETWEEN_DIGITS.split(folded)
    separators = [" " if gap.isspace() else gap.strip() for gap in _BETWEEN_DIGITS.findall(folded)]
    spelled = ["".join(char for char in piece if _is_letter(char)) for piece in pieces]
    return "".join(part for pair in zip(spelled, [*separators, ""], strict=True) for part in pair)


def similarity(one: str, other: str) -> float:
    """Return how likely `one` is a mishearing of `other`, 0 to 1.

    The share of letters in common (Ratcliff and Obershelp, as `difflib` computes it), raised by the share of
    consonant sounds in common: "cooper netties" and "Kubernetes" differ in letters more than in sound.
    """
    spelled = _ratio(letters(one), letters(other))
    first, second = _sounds(letters(one)), _sounds(letters(other))
    if not first or not second:
        return spelled
    return max(spelled, (spelled + _ratio(first, second)) / 2)


def _is_punctuation(char: str) -> bool:
    return unicodedata.category(char).startswith("P") and char not in _PART_OF_WORDS


def _is_letter(char: str) -> bool:
    # Vowel signs of Indic scripts are Unicode marks, but belong to the word like letters.
    return char.isalnum() or unicodedata.category(char).startswith("M")


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def _sounds(text: str) -> str:
    for pattern, sound in _SOUNDS:
        text = pattern.sub(sound, text)
    return text
