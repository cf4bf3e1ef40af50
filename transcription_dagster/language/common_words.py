"""How ordinary a word is, by the frequencies that wordfreq counted in many languages' subtitles, news and web pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise

from wordfreq import get_frequency_dict

#: The lists asked, by Unicode script; English's has rare words too. All of Latin script: speech mixes languages.
_LATIN = ("de", "fr", "es", "it", "pt", "nl", "sv", "pl")
_OTHERS = ("ru", "uk", "el", "ar", "he", "hi", "fa", "ja", "zh", "ko")
#: Occurrences in a thousand million words, as a logarithm (the Zipf scale): 2 is once in ten million words.
ORDINARY = 2.0
#: From here on a word is everyday speech: once in ten thousand words.
EVERYDAY = 5.0
#: The words of an ordinary phrase: each at least this frequent, and so frequent on average.
_PHRASE_WORD, _PHRASE_AVERAGE = 3.0, 4.0


@lru_cache(maxsize=65536)
def frequency(word: str) -> float:
    """How frequent a folded word is on the Zipf scale, in the language that uses it most; 0 if none knows it."""
    return max(_frequency(word, language) for language in _languages(word))


def is_common(words: Sequence[str]) -> bool:
    """Tell whether folded `words` are everyday speech of one language, every one of them."""
    return bool(words) and any(
        all(_frequency(word, language) >= EVERYDAY for word in words) for language in _languages(words[0])
    )


def is_known(word: str, *, language: str, least: float) -> bool:
    """Whether a language uses a folded word at least so often, on the Zipf scale."""
    return _frequency(word, language) >= least


def is_ordinary_phrase(words: Sequence[str]) -> bool:
    """Whether folded `words` can stand side by side in ordinary text of one language, as "terror form" can.

    A word said twice in a row ("plus plus") and short fragments that are no everyday words ("why fi") cannot.
    """
    if not words or any(before == after for before, after in pairwise(words)):
        return False
    return any(_ordinary_in(words, language) for language in _languages(words[0]))


def chance_frequency(words: Sequence[str]) -> float:
    """How often folded `words` would stand side by side by chance, on the Zipf scale of English."""
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
    """0 also for a letter that is no word: letters are common for other reasons."""
    if len(word) == 1 and word.isascii() and word not in ("a", "i"):
        return 0.0
    share = _frequencies(language).get(word, 0.0)
    return max(0.0, math.log10(share) + 9) if share else 0.0


@cache
def _frequencies(language: str) -> dict[str, float]:
    return get_frequency_dict(language, wordlist="large" if language == "en" else "small")
