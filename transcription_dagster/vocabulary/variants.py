"""Correct words that the vocabulary lists as a variant of one term, and report variants that cannot be corrected."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from transcription_dagster.language.boundaries import is_unspaced
from transcription_dagster.language.common_words import (
    EVERYDAY,
    ORDINARY,
    chance_frequency,
    frequency,
    is_common,
    is_ordinary_phrase,
)
from transcription_dagster.language.spelling import affixes, fold, folded_words, letters
from transcription_dagster.language.tokenization import tokenize
from transcription_dagster.model import Edit, Term, Word
from transcription_dagster.transcripts.plain_text import join_words

_HYPHENS = re.compile(r"[-‐‑‒–—]+")
_POSSESSIVE = re.compile(r"['’]s\Z", re.IGNORECASE)

Phrase = tuple[str, ...]

#: Maximum frequency of a variant that differs from its term only in case ("polish", "aws"), accents or apostrophes
#: ("resume", "naive"), or hyphens ("wifi"), to always mean the term.
_CASE_ONLY, _ACCENTS_ONLY, _HYPHENS_ONLY = 3.5, 4.0, 4.5
#: How much more frequent a word must be than its two halves in a row for them to always mean the word.
_ALWAYS_ONE_WORD = 3.5
#: After these, "i" is not a pronoun: "my i phone".
_DETERMINERS = frozenset({"a", "an", "the", "my", "your", "our", "their", "its", "every"})

#: In a script without spaces, variants of fewer characters would match inside other words.
_MIN_CHARACTERS = 3
#: The same in scripts without word counts, such as Thai.
_MIN_UNCOUNTED = 6
_COUNTED = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
#: Longest word to look for in a phrase without spaces, and its minimum frequency.
_LONGEST_WORD, _PHRASE_WORD = 8, 3.0


def correct_variants(words: Sequence[Word], terms: Sequence[Term]) -> list[Edit]:
    """Return the edits, of kind "vocabulary", that replace each variant by its term.

    Whole words match (in a script without spaces, any characters), the longest phrase first, in any case and with any
    surrounding punctuation. Punctuation stays, and so does the text's case if the term has no capitals. Ambiguous
    variants do not match: those of two terms, those that are a term, ordinary words or names (see `risk`), phrases
    interrupted by punctuation, and words of a correctly written term.
    """
    phrases = _phrases(terms)
    replaced: set[int] = set()
    edits: list[Edit] = []
    for match in sorted(_matches(words, phrases), key=lambda match: (-len(match.matched), match.first)):
        span = range(match.first, match.last + 1)
        if replaced.isdisjoint(span):
            replaced.update(span)
            edits.extend(_edit(words, match, phrases))
    return sorted(edits, key=lambda edit: edit.first)


def phrase_of(text: str) -> Phrase:
    """Return the folded words of a text; in a script without spaces each character is one."""
    return tuple(token.text for token in _parts(text))


def risk(phrase: Phrase, term: Term) -> str:
    """Return why correcting a variant, given as folded words, needs context; empty if it does not."""
    if phrase and all(is_unspaced(token[0]) for token in phrase):
        return _unspaced_risk("".join(phrase))
    if all(token.isdecimal() for token in phrase):
        return "a number"
    if len(phrase) == 1 and len(phrase[0]) == 1:
        return "a single letter"
    if len(phrase) != 1:
        return "an ordinary phrase" if is_ordinary_phrase(phrase) and not _is_one_word(phrase, term) else ""
    variant = phrase[0]
    zipf = frequency(variant)
    if folded_words(term.text) == phrase:
        return f"an ordinary word (Zipf {zipf:.1f}), whatever its case" if zipf >= _CASE_ONLY else ""
    return f"an ordinary word or name (Zipf {zipf:.1f})" if zipf >= _harmless_frequency(variant, term) else ""


def _unspaced_risk(text: str) -> str:
    counted = _COUNTED.match(text) is not None
    if len(text) < (_MIN_CHARACTERS if counted else _MIN_UNCOUNTED):
        return "too short to be told from parts of other words"
    # Whether the text up to each position consists of ordinary words.
    ordinary = [True]
    for stop in range(1, len(text) + 1):
        firsts = range(max(0, stop - _LONGEST_WORD), stop)
        ordinary.append(any(ordinary[first] and _is_ordinary_word(text[first:stop]) for first in firsts))
    return "an ordinary phrase" if ordinary[-1] else ""


def _is_ordinary_word(text: str) -> bool:
    return frequency(text) >= (EVERYDAY if len(text) == 1 else _PHRASE_WORD)


def _harmless_frequency(variant: str, term: Term) -> float:
    if "".join(folded_words(term.text)) == variant:
        return _HYPHENS_ONLY
    return _ACCENTS_ONLY if letters(_plain(variant)) == letters(_plain(term.text)) else ORDINARY


def _is_one_word(phrase: Phrase, term: Term) -> bool:
    """Return whether the words are the term with spaces ("java script") and hardly ever follow each other otherwise."""
    joined = "".join(phrase)
    return letters(joined) == letters(term.text) and frequency(joined) - chance_frequency(phrase) >= _ALWAYS_ONE_WORD


def _plain(text: str) -> str:
    """Return the text without accents: "naive" can only mean "naïve"."""
    return "".join(char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    word: int
    opens_word: bool
    closes_word: bool
    #: Position of the token, without surrounding punctuation, in its word.
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Match:
    matched: tuple[_Token, ...]
    phrase: Phrase

    @property
    def first(self) -> int:
        return self.matched[0].word

    @property
    def last(self) -> int:
        return self.matched[-1].word


def _phrases(terms: Sequence[Term]) -> dict[Phrase, Term | None]:
    """Return the phrases to look for, with the term that replaces each; None for phrases that stay as they are."""
    owners: defaultdict[Phrase, set[str]] = defaultdict(set)
    by_text = {term.text: term for term in terms}
    for term in terms:
        for variant in term.variants:
            owners[phrase_of(variant)].add(term.text)
    phrases: dict[Phrase, Term | None] = {
        phrase: by_text[next(iter(texts))]
        for phrase, texts in owners.items()
        if phrase and len(texts) == 1 and (phrase[0] == "i" or not risk(phrase, by_text[next(iter(texts))]))
    }
    for term in terms:
        written = phrase_of(term.text)
        # A variant of a term that differs from it only in case or hyphens still corrects to it.
        corrected_to = phrases.get(written)
        if written and (corrected_to is None or corrected_to.text != term.text):
            phrases[written] = None
    return phrases


def _matches(words: Sequence[Word], phrases: Mapping[Phrase, Term | None]) -> Iterator[_Match]:
    lengths: defaultdict[str, set[int]] = defaultdict(set)
    for phrase in phrases:
        lengths[phrase[0]].add(len(phrase))
    stream = list(_stream(words))
    for position, token in enumerate(stream):
        if not token.opens_word:
            continue
        openings = {token.text, _POSSESSIVE.sub("", token.text)}
        for length in {length for opening in openings for length in lengths.get(opening, ())}:
            matched = stream[position : position + length]
            phrase = _phrase(matched, phrases) if len(matched) == length and matched[-1].closes_word else None
            if phrase is None or (
                phrase[0] == "i" and is_ordinary_phrase(phrase) and not _after_determiner(stream, position)
            ):
                continue
            if not _is_interrupted(matched, words):
                yield _Match(tuple(matched), phrase)


def _after_determiner(stream: Sequence[_Token], position: int) -> bool:
    return position > 0 and stream[position - 1].text in _DETERMINERS


def _stream(words: Iterable[Word]) -> Iterator[_Token]:
    for index, word in enumerate(words):
        parts = _parts(word.text)
        # In a script without spaces a word may begin and end anywhere.
        unspaced = [is_unspaced(part.text[0]) for part in parts]
        for place, part in enumerate(parts):
            opens = place == 0 or unspaced[place] or unspaced[place - 1]
            closes = place == len(parts) - 1 or unspaced[place] or unspaced[place + 1]
            yield _Token(part.text, index, opens, closes, part.first, part.stop)


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    first: int
    stop: int


def _parts(text: str) -> list[_Part]:
    """Return the folded parts of a text (words, parts of hyphenated words, characters) and their positions in it."""
    parts: list[_Part] = []
    position = 0
    for chunk in (chunk for word in text.split() for chunk in _HYPHENS.split(word)):
        for token in tokenize(chunk):
            position = text.index(token.text, position)
            opening, core, _ = affixes(token.text)
            first = position + len(opening)
            if folded := fold(token.text):
                parts.append(_Part(folded, first, first + len(core)))
            position += len(token.text)
    return parts


def _phrase(matched: Sequence[_Token], phrases: Container[Phrase]) -> Phrase | None:
    """Return the phrase of the tokens, with or without a possessive at the end."""
    texts = tuple(token.text for token in matched)
    possessor = (*texts[:-1], _POSSESSIVE.sub("", texts[-1]))
    return next((phrase for phrase in (texts, possessor) if phrase in phrases), None)


def _is_interrupted(matched: Sequence[_Token], words: Sequence[Word]) -> bool:
    """Return whether punctuation other than a hyphen, or a change of language or speaker, splits a phrase."""
    spoken = words[matched[0].word : matched[-1].word + 1]
    if len({word.language for word in spoken}) > 1 or len({word.speaker for word in spoken if word.speaker}) > 1:
        return True
    for before, after in pairwise(matched):
        text, next_text = words[before.word].text, words[after.word].text
        between = text[before.stop :] + next_text[: after.first]
        if before.word == after.word:
            between = text[before.stop : after.first]
        if _HYPHENS.sub("", between).strip():
            return True
    return False


def _edit(words: Sequence[Word], match: _Match, phrases: Mapping[Phrase, Term | None]) -> Iterator[Edit]:
    term = phrases[match.phrase]
    if term is None:
        return
    spoken = words[match.first : match.last + 1]
    opening = spoken[0].text[: match.matched[0].first]
    closing = spoken[-1].text[match.matched[-1].stop :]
    old = join_words(spoken)
    original = old[len(opening) : len(old) - len(closing)]
    possessive = "" if phrase_of(original) == match.phrase else original[-2:]
    new = opening + _in_case_of(original, term.text) + possessive + closing
    if new != old:
        yield Edit(match.first, match.last, old, new, "vocabulary")


def _in_case_of(original: str, text: str) -> str:
    """Return the term in the case of `original`, unless its own capitals define its spelling."""
    if text != text.lower():
        return text
    if original.isupper() and sum(char.isalpha() for char in original) > 1:
        return text.upper()
    return text[:1].upper() + text[1:] if original[:1].isupper() else text


def problems(terms: Sequence[Term]) -> list[str]:
    """Return the problems of a vocabulary: duplicates, terms that correct each other, common words."""
    return [*_duplicates(terms), *_conflicts(terms), *_common(terms)]


def _duplicates(terms: Sequence[Term]) -> Iterator[str]:
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for term in terms:
        spellings[term.text.casefold()].append(term.text)
    for texts in spellings.values():
        if len(texts) > 1:
            yield f"{texts[0]!r} is listed {len(texts)} times"
    owners: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for term in terms:
        for variant in term.variants:
            owners[phrase_of(variant)].append(term.text)
    for variant, texts in owners.items():
        if not variant:
            yield f"a variant of {texts[0]!r} holds no word"
        elif len(set(texts)) > 1:
            yield f"the variant {' '.join(variant)!r} belongs to {_listed(texts)}: it corrects nothing"
        elif len(texts) > 1:
            yield f"the variant {' '.join(variant)!r} of {texts[0]!r} is listed {len(texts)} times"


def _conflicts(terms: Sequence[Term]) -> Iterator[str]:
    """Yield conflicts: a variant that is another term, or a term that contains another's variant."""
    spelled = {phrase_of(term.text): term.text for term in terms}
    for term in terms:
        for variant in term.variants:
            other = spelled.get(phrase_of(variant))
            if other is not None and other != term.text:
                yield f"the variant {variant!r} of {term.text!r} is a term itself: {other!r} would correct to it"


def _common(terms: Sequence[Term]) -> Iterator[str]:
    for term in terms:
        if len(spelled := folded_words(term.text)) == 1 and is_common(spelled):
            yield f"the term {term.text!r} is a common word"
        for variant in term.variants:
            if reason := risk(phrase_of(variant), term):
                yield f"the variant {variant!r} of {term.text!r} is risky: {reason}: it is left to the refinement"


def _listed(names: Iterable[str]) -> str:
    return " and ".join(repr(name) for name in dict.fromkeys(names))
