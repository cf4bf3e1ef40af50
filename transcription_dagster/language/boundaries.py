"""Rate line and cue breaks between words: best at sentences, clauses and pauses, worst inside names and numbers.

The order follows the subtitling guides of Netflix and the BBC: after punctuation first, then before conjunctions and
prepositions, never between an article and its noun, inside a name or inside a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from transcription_dagster.language.writing_rules import (
    CONJUNCTIONS,
    FUNCTION_WORDS,
    MONTH_NAMES,
    NAME_LINKS,
    NUMBER_WORDS,
    TITLES,
    UNITS,
    abbreviates,
    abbreviation,
    never_apart,
)
from transcription_dagster.model import Word

#: Costs of a break, in ascending order. Only their order and rough distances matter.
SENTENCE_END = 0.0
LONG_PAUSE = 1.5
CLAUSE_END = 3.0
BEFORE_CONJUNCTION = 4.5
PAUSE = 5.0
BEFORE_FUNCTION_WORD = 6.0
ANYWHERE = 9.0
AFTER_FUNCTION_WORD = 15.0
INSIDE_NAME_OR_NUMBER = 32.0
INSIDE_WORD = 80.0
#: A break that the script or language forbids: only a line that is too wide costs more.
FORBIDDEN = 400.0

#: Seconds of silence that count as a pause, and as a pause equal to a full stop.
PAUSE_SECONDS = 0.35
LONG_PAUSE_SECONDS = 1.0

_CLOSERS = "\"'”’»)]}」』）】〉》"
_SENTENCE_MARKS = "!?。！？｡؟۔।॥។။"
_CLAUSE_MARKS = ",;:—–、，；：،؛၊"
_CORE = re.compile(r"^\W+|(?<!\W)\W+$")
#: Musical notes of songs, which stick to their words (`captions.songs`).
_SONG_OPENS = re.compile(r"[♩♪♫♬]+\s?\S|#\s\S")
#: A run of notes is tried from its start only: from each of its notes, a long one would take quadratic time.
_SONG_CLOSES = re.compile(r"(?:[^\s♩♪♫♬]|(?<![♩♪♫♬])[♩♪♫♬]|\S\s)[♩♪♫♬]++[.,;!?]*+\Z|\S\s#[.,;!?]*+\Z")
#: Scripts without spaces between words, whose words only a dictionary tells: Thai, Lao, Tibetan, Burmese and Khmer.
_UNDIVIDED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]")
_HIRAGANA = re.compile("[\u3041-\u309f]")
_KATAKANA = re.compile("[\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
#: Thai, Lao, Tibetan, Burmese, Khmer, Chinese and Japanese, full-width punctuation included; Korean has spaces.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u3190-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)


@dataclass(frozen=True, slots=True)
class _Token:
    """The properties of a word by itself."""

    core: str
    full_stop: bool
    stop: bool
    sentence_mark: bool
    clause_mark: bool
    capitalised: bool
    lower_start: bool
    number: bool
    function_word: bool
    unspaced_start: bool
    unspaced_end: bool


def is_unspaced(character: str) -> bool:
    """Return whether a character belongs to a script without spaces between words."""
    return _UNSPACED.match(character) is not None


@lru_cache(maxsize=65536)
def _token(text: str) -> _Token:
    core = _CORE.sub("", text)
    low = core.lower()
    bare = text.rstrip(_CLOSERS)
    mark = bare[-1:]
    return _Token(
        core=low,
        full_stop=mark == "…" or (mark == "." and not abbreviation(low)),
        stop=mark == ".",
        sentence_mark=mark != "" and mark in _SENTENCE_MARKS,
        clause_mark=mark != "" and mark in _CLAUSE_MARKS,
        capitalised=core[:1].isupper(),
        lower_start=core[:1].islower(),
        number=any(character.isdigit() for character in core) or low in NUMBER_WORDS,
        function_word=low in FUNCTION_WORDS,
        unspaced_start=is_unspaced(text[:1]),
        unspaced_end=is_unspaced(text[-1:]),
    )


def closes_sentence(text: str) -> bool:
    """Return whether a word's own punctuation ends a sentence, whatever follows."""
    token = _token(text)
    return token.sentence_mark or token.full_stop


def ends_sentence(before: Word, after: Word | None) -> bool:
    """Return whether a sentence ends between two adjacent words; the last word of a text ends one.

    So does the last word before another language.
    """
    if after is None or (before.language and after.language and before.language != after.language):
        return True
    token = _token(before.text)
    if never_apart(before.text, after.text):
        return False
    if token.sentence_mark:
        return True
    follows = _token(after.text)
    if not token.full_stop or (token.stop and abbreviates(token.core, follows.core)):
        return False
    return not follows.lower_start and not _inside_word(before, after)


def break_cost(before: Word, after: Word) -> float:
    """Return the cost of ending a line or cue between two adjacent words; 0 at the end of a sentence."""
    if never_apart(before.text, after.text):
        return FORBIDDEN
    if _SONG_OPENS.match(after.text) or _SONG_CLOSES.search(before.text):
        return SENTENCE_END
    if _inside_word(before, after):
        return INSIDE_WORD
    if ends_sentence(before, after):
        return SENTENCE_END
    token = _token(before.text)
    if token.stop and abbreviates(token.core, _token(after.text).core):
        return INSIDE_NAME_OR_NUMBER
    if token.clause_mark or token.full_stop:
        cost = CLAUSE_END
    else:
        unspaced = _unspaced_cost(before, after)
        cost = _plain_cost(token, _token(after.text)) if unspaced is None else unspaced
    pause = after.start - before.end
    if pause >= LONG_PAUSE_SECONDS:
        return min(cost, LONG_PAUSE)
    return min(cost, PAUSE) if pause >= PAUSE_SECONDS else cost


def _unspaced_cost(before: Word, after: Word) -> float | None:
    """Return the cost between two words of a script without spaces, if it follows from their letters; else None.

    Thai, Lao, Burmese and Khmer put spaces between phrases. In Japanese katakana in a row are one word, a geminate (ッ)
    never ends one, and a phrase begins where hiragana, its particles and endings, is over.
    """
    last, first = before.text[-1:], after.text[:1]
    if _UNDIVIDED.match(last) and _UNDIVIDED.match(first):
        return INSIDE_NAME_OR_NUMBER if after.glued else BEFORE_FUNCTION_WORD
    if not after.glued or not (_HIRAGANA.match(first) or _HIRAGANA.match(last) or _KATAKANA.match(first)):
        return None
    if last in ("ッ", "っ"):
        return INSIDE_WORD
    if _HIRAGANA.match(first):
        return ANYWHERE if _HIRAGANA.match(last) else AFTER_FUNCTION_WORD
    if _KATAKANA.match(first) and _KATAKANA.match(last):
        return INSIDE_NAME_OR_NUMBER
    return BEFORE_FUNCTION_WORD if _HIRAGANA.match(last) else None


def _inside_word(before: Word, after: Word) -> bool:
    return after.glued and not (_token(before.text).unspaced_end or _token(after.text).unspaced_start)


def _plain_cost(before: _Token, after: _Token) -> float:
    """Return the cost between two words without punctuation between them."""
    if _one_name(before, after) or _one_number(before, after):
        return INSIDE_NAME_OR_NUMBER
    if before.function_word or before.number or (before.capitalised and after.core in NAME_LINKS):
        return AFTER_FUNCTION_WORD
    if after.core in CONJUNCTIONS:
        return BEFORE_CONJUNCTION
    return BEFORE_FUNCTION_WORD if after.function_word else ANYWHERE


def _one_name(before: _Token, after: _Token) -> bool:
    if not after.capitalised or after.function_word:
        return False
    return before.core in TITLES or (before.capitalised and not before.function_word)


def _one_number(before: _Token, after: _Token) -> bool:
    if before.number:
        return after.number or after.core in UNITS or after.core in MONTH_NAMES
    return after.number and before.core in MONTH_NAMES
