"""How common a word is, by wordfreq's counts in subtitles, news and web pages of many languages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise

#: The word lists to consult, by Unicode script. Latin script uses all of its lists, because speech mixes languages.
_LATIN = ("de", "fr", "es", "it", "pt", "nl", "sv", "pl")
_OTHERS = ("ru", "uk", "el", "ar", "he", "hi", "fa", "ja", "zh", "ko")
#: On the Zipf scale, the decimal logarithm of occurrences per thousand million words: 2 is once in ten million words.
ORDINARY = 2.0
#: An everyday word: once in ten thousand words.
EVERYDAY = 5.0
#: Minimum and mean frequency of the words of an ordinary phrase.
_PHRASE_WORD, _PHRASE_AVERAGE = 3.0, 4.0


@lru_cache(maxsize=65536)
def frequency(word: str) -> float:
    """Return a folded word's frequency on the Zipf scale in the language that uses it most; 0 if it is unknown."""
    return max(_frequency(word, language) for language in _languages(word))


def is_common(words: Sequence[str]) -> bool:
    """Return whether all folded `words` are everyday words of one language."""
    return bool(words) and any(
        all(_frequency(word, language) >= EVERYDAY for word in words) for language in _languages(words[0])
    )


def is_known(word: str, *, language: str, least: float) -> bool:
    """Return whether a language uses a folded word at least this often, on the Zipf scale."""
    return _frequency(word, language) >= least


def is_ordinary_phrase(words: Sequence[str]) -> bool:
    """Return whether folded `words` can be neighbours in ordinary text of one language, as in "terror form".

    A repeated word ("plus plus") and short fragments that are not everyday words ("why fi") cannot.
    """
    if not words or any(before == after for before, after in pairwise(words)):
        return False
    return any(_ordinary_in(words, language) for language in _languages(words[0]))


def chance_frequency(words: Sequence[str]) -> float:
    """Return how often folded `words` would be neighbours by chance, on the Zipf scale of English."""
    return sum(_frequency(word, "en") - 9 for word in words) + 9


def _ordinary_in(words: Sequence[str], language: str) -> bool:
    scores = [_frequency(word, language) for word in words]
    whole = all(
        score >= (EVERYDAY if len(word) <= 2 else _PHRASE_WORD) for word, score in zip(words, scores, strict=True)
    )
    return whole and sum(scores) / len(scores) >= _PHRASE_AVERAGE


def _languages(word: str) -> tuple[str, ...]:
    return (*_LATIN, "en") if word[:1] < "\u0250" else _OTHERS


def _frequency(word: str, language: str) -> float:
    """Return the frequency, but 0 for single letters that are not words: letters are common for other reasons."""
    if len(word) == 1 and word.isascii() and word not in ("a", "i"):
        return 0.0
    share = _frequencies(language).get(word, 0.0)
    return max(0.0, math.log10(share) + 9) if share else 0.0


@cache
def _frequencies(language: str) -> dict[str, float]:
    # Importing wordfreq takes a fifth of the start of a process, and most processes never look a word up.
    from wordfreq import get_frequency_dict

    return get_frequency_dict(language, wordlist="large" if language == "en" else "small")
