"""How ordinary a word is, by the frequencies that wordfreq counted in many languages' subtitles, news and web pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache

from wordfreq import get_frequency_dict

#: The lists asked, by Unicode script; English's has rare words too. All of Latin script: speech mixes languages.
_LATIN = ("de", "fr", "es", "it", "pt", "nl", "sv", "pl")
_OTHERS = ("ru", "uk", "el", "ar", "he", "hi", "fa", "ja", "zh", "ko")
#: Occurrences in a thousand million words, as a logarithm (the Zipf scale): 2 is once in ten million words.
ORDINARY = 2.0
#: From here on a word is everyday speech: once in ten thousand words.
EVERYDAY = 5.0


@lru_cache(maxsize=65536)
def frequency(word: str) -> float:
    """How frequent a folded word is on the Zipf scale, in the language that uses it most; 0 if none knows it."""
    return max(_frequency(word, language) for language in _languages(word))


def is_common(words: Sequence[str]) -> bool:
    """Tell whether folded `words` are everyday speech of one language, every one of them."""
    return bool(words) and any(
        all(_frequency(word, language) >= EVERYDAY for word in words) for language in _languages(words[0])
    )


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
