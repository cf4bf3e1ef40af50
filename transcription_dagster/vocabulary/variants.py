"""Corrections that need no judgement: words that the vocabulary lists as a mishearing of one term."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from transcription_dagster.language.common_words import ORDINARY, chance_frequency, frequency, is_ordinary_phrase
from transcription_dagster.language.spelling import affixes, letters, tokens
from transcription_dagster.model import Edit, Term, Word
from transcription_dagster.transcripts.plain_text import join_words

_POSSESSIVE = re.compile(r"['’]s\Z", re.IGNORECASE)

Phrase = tuple[str, ...]


def correct_variants(words: Sequence[Word], terms: Sequence[Term]) -> list[Edit]:
    """Return the edits, of kind "vocabulary", that replace each variant by its term.

    Whole words only, the longest phrase first, in any case and with any surrounding punctuation, which is kept; the
    text's case is kept if the term has no capitals. Ambiguous variants are left alone: those that belong to two terms
    or are a term, ordinary words or names (see `risk`), phrases broken by punctuation, and words that are part of a
    correctly written term.
    """
    phrases = _phrases(terms)
    replaced: set[int] = set()
    edits: list[Edit] = []
    for match in sorted(_matches(words, phrases), key=lambda match: (-match.tokens, match.first)):
        span = range(match.first, match.last + 1)
        if replaced.isdisjoint(span):
            replaced.update(span)
            edits.extend(_edit(words, match, phrases))
    return sorted(edits, key=lambda edit: edit.first)


#: Maximum frequency of a variant that differs from its term only in case ("polish", "aws"), accents or apostrophes
#: ("resume", "naive"), or hyphens ("wifi"), to always mean the term.
_CASE_ONLY, _ACCENTS_ONLY, _HYPHENS_ONLY = 3.5, 4.0, 4.5
#: How much more frequent a word must be than its two halves in a row for them to always mean the word.
_ALWAYS_ONE_WORD = 3.5
#: After these, "i" is not a pronoun: "my i phone".
_DETERMINERS = frozenset({"a", "an", "the", "my", "your", "our", "their", "its", "every"})


def risk(phrase: Phrase, term: Term) -> str:
    """Return why a variant, given as folded words, needs context to be corrected; empty if it does not."""
    if all(token.isdecimal() for token in phrase):
        return "a number"
    if len(phrase) == 1 and len(phrase[0]) == 1:
        return "a single letter"
    if len(phrase) != 1:
        return "an ordinary phrase" if is_ordinary_phrase(phrase) and not _is_one_word(phrase, term) else ""
    variant = phrase[0]
    often = frequency(variant)
    if tokens(term.text) == phrase:
        return f"an ordinary word (Zipf {often:.1f}), whatever its case" if often >= _CASE_ONLY else ""
    return f"an ordinary word or name (Zipf {often:.1f})" if often >= _harmless_up_to(variant, term) else ""


def _harmless_up_to(variant: str, term: Term) -> float:
    if "".join(tokens(term.text)) == variant:
        return _HYPHENS_ONLY
    return _ACCENTS_ONLY if letters(_plain(variant)) == letters(_plain(term.text)) else ORDINARY


def _is_one_word(phrase: Phrase, term: Term) -> bool:
    """Return whether the words are the term with spaces ("java script"), and hardly ever occur in a row otherwise."""
    joined = "".join(phrase)
    return letters(joined) == letters(term.text) and frequency(joined) - chance_frequency(phrase) >= _ALWAYS_ONE_WORD


def _plain(text: str) -> str:
    """Return the text without accents: "naive" can only mean "naïve"."""
    return "".join(char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char))


@dataclass(frozen=True, slots=True)
class _Match:
    first: int
    last: int
    phrase: Phrase
    tokens: int


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    word: int
    opens_word: bool
    closes_word: bool


def _phrases(terms: Sequence[Term]) -> dict[Phrase, Term | None]:
    """Return phrases to find, with the term to write instead; None for phrases to leave alone."""
    claims: defaultdict[Phrase, set[str]] = defaultdict(set)
    by_text = {term.text: term for term in terms}
    for term in terms:
        for variant in term.variants:
            claims[tokens(variant)].add(term.text)
    phrases: dict[Phrase, Term | None] = {
        phrase: by_text[next(iter(texts))]
        for phrase, texts in claims.items()
        if phrase and len(texts) == 1 and (phrase[0] == "i" or not risk(phrase, by_text[next(iter(texts))]))
    }
    for term in terms:
        written = tokens(term.text)
        # A variant of a term that differs from it only in case or hyphens still corrects to it.
        corrected_to = phrases.get(written)
        if written and (corrected_to is None or corrected_to.text != term.text):
            phrases[written] = None
    return phrases


def _matches(words: Sequence[Word], phrases: Mapping[Phrase, Term | None]) -> Iterator[_Match]:
    by_opening: defaultdict[str, list[Phrase]] = defaultdict(list)
    for phrase in phrases:
        by_opening[phrase[0]].append(phrase)
    stream = list(_stream(words))
    for position, token in enumerate(stream):
        if not token.opens_word:
            continue
        openings = {token.text, _POSSESSIVE.sub("", token.text)}
        for phrase in (phrase for opening in openings for phrase in by_opening.get(opening, ())):
            found = stream[position : position + len(phrase)]
            if phrase[0] == "i" and is_ordinary_phrase(phrase) and not _after_determiner(stream, position):
                continue
            if _is_phrase(found, phrase) and not _broken(words[found[0].word : found[-1].word + 1]):
                yield _Match(found[0].word, found[-1].word, phrase, len(phrase))


def _after_determiner(stream: Sequence[_Token], position: int) -> bool:
    return position > 0 and stream[position - 1].text in _DETERMINERS


def _stream(words: Iterable[Word]) -> Iterator[_Token]:
    for index, word in enumerate(words):
        parts = tokens(word.text)
        for place, part in enumerate(parts):
            yield _Token(part, index, opens_word=place == 0, closes_word=place == len(parts) - 1)


def _is_phrase(found: Sequence[_Token], phrase: Phrase) -> bool:
    if len(found) != len(phrase) or not found[-1].closes_word:
        return False
    heard = tuple(token.text for token in found)
    return phrase in (heard, (*heard[:-1], _POSSESSIVE.sub("", heard[-1])))


def _broken(words: Sequence[Word]) -> bool:
    """Return whether punctuation other than a hyphen, or a change of language or speaker, splits a phrase."""
    if len({word.language for word in words}) > 1 or len({word.speaker for word in words if word.speaker}) > 1:
        return True
    before, after = (word.text for word in words[:-1]), (word.text for word in words[1:])
    return any(affixes(text)[2].strip("-") for text in before) or any(affixes(text)[0].strip("-") for text in after)


def _edit(words: Sequence[Word], match: _Match, phrases: Mapping[Phrase, Term | None]) -> Iterator[Edit]:
    term = phrases[match.phrase]
    if term is None:
        return
    spoken = words[match.first : match.last + 1]
    opening = affixes(spoken[0].text)[0]
    closing = affixes(spoken[-1].text)[2]
    old = join_words(spoken)
    heard = old[len(opening) : len(old) - len(closing)]
    possessive = "" if tokens(heard) == match.phrase else heard[-2:]
    new = opening + _in_case_of(heard, term.text) + possessive + closing
    if new != old:
        yield Edit(match.first, match.last, old, new, "vocabulary")


def _in_case_of(heard: str, text: str) -> str:
    """Return the term in the case of `heard`, unless its own capitals define its spelling."""
    if text != text.lower():
        return text
    if heard.isupper() and sum(char.isalpha() for char in heard) > 1:
        return text.upper()
    return text[:1].upper() + text[1:] if heard[:1].isupper() else text
