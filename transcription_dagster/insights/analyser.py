"""Choose the analyser of texts, and analyse a text in several languages one language at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Protocol, TypeVar

from transcription_dagster.insights.findings import Entity, Insights, KeyPhrase, Language, Sentiment
from transcription_dagster.language.alignment import align, counterparts
from transcription_dagster.language.tokenization import token_starts, tokenize
from transcription_dagster.model import Word
from transcription_dagster.settings import Settings

#: Separates parts of one language like paragraphs, so that no sentence spans two of them.
_BETWEEN = "\n\n"
_MOODS = ("positive", "negative", "neutral", "mixed")

Placed = TypeVar("Placed", Entity, KeyPhrase)


class Analyser(Protocol):
    """Finds languages, key phrases, entities and sentiment in a text."""

    @property
    def name(self) -> str: ...

    def analyse(self, text: str, language: str) -> Insights:
        """Analyse a text; `language` is the recording's language according to the speech model."""
        ...


def open_analyser(settings: Settings) -> Analyser:
    """Return the analyser that the settings choose. Does no I/O."""
    if settings.insights == "comprehend":
        from transcription_dagster.insights.comprehend import ComprehendAnalyser

        return ComprehendAnalyser()
    from transcription_dagster.insights.local import LocalAnalyser

    return LocalAnalyser()


@dataclass(frozen=True, slots=True)
class LanguagePart:
    """The characters [`start`, `end`) of a text in one language."""

    language: str
    start: int
    end: int


def language_parts(text: str, words: Sequence[Word], language: str) -> tuple[LanguagePart, ...]:
    """Return the parts of a text made from `words`, in order; together they are the whole text.

    Words without a language count as `language`. Changed text has the language of what it replaces.
    """
    old = [(token.text, word.language or language) for word in words for token in tokenize(word.text)]
    spoken = {code for _, code in old}
    new = tokenize(text)
    if len(spoken) < 2 or not new:
        return (LanguagePart(next(iter(spoken), language), 0, len(text)),)
    codes = _codes([token for token, _ in old], [code for _, code in old], [token.text for token in new])
    firsts = [0, *(number for number, (one, other) in enumerate(pairwise(codes), start=1) if one != other)]
    starts = token_starts(text, new)
    edges = [0, *(starts[first] for first in firsts[1:]), len(text)]
    return tuple(LanguagePart(codes[first], *edge) for first, edge in zip(firsts, pairwise(edges), strict=True))


def analyse_parts(analyser: Analyser, text: str, parts: Sequence[LanguagePart]) -> Insights:
    """Analyse the parts in each language separately and merge the findings; offsets are in the whole text.

    Sentiments are weighted by length. Raises the errors of the analyser.
    """
    if len(parts) == 1:
        return analyser.analyse(text, parts[0].language)
    by_language: defaultdict[str, list[LanguagePart]] = defaultdict(list)
    for part in parts:
        by_language[part.language].append(part)
    insights = {
        language: analyser.analyse(_BETWEEN.join(text[part.start : part.end] for part in own), language)
        for language, own in by_language.items()
    }
    lengths = {language: sum(part.end - part.start for part in own) for language, own in by_language.items()}
    shares = sorted(lengths.items(), key=lambda item: -item[1])
    return Insights(
        analyser=analyser.name,
        languages=tuple(Language(language, length / len(text)) for language, length in shares),
        entities=tuple(
            sorted(
                (place for code, own in by_language.items() for place in _placed(insights[code].entities, own)),
                key=lambda entity: entity.begin,
            )
        ),
        key_phrases=tuple(
            sorted(
                (place for code, own in by_language.items() for place in _placed(insights[code].key_phrases, own)),
                key=lambda phrase: -phrase.score,
            )
        ),
        sentiment=_sentiment([(insights[language].sentiment, length) for language, length in lengths.items()]),
        notes=tuple(dict.fromkeys(note for each in insights.values() for note in each.notes)),
    )


def _codes(old: Sequence[str], codes: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return the language of each new token."""
    assigned: list[str] = []
    for block in align(old, new):
        size = block.new_stop - block.new_first
        if block.same:
            assigned += codes[block.old_first : block.old_stop]
        elif block.old_stop > block.old_first:
            replaced = old[block.old_first : block.old_stop]
            matches = counterparts(replaced, new[block.new_first : block.new_stop])
            assigned += [codes[block.old_first + match] for match in matches]
        else:
            assigned += [assigned[-1] if assigned else codes[0]] * size
    return assigned


def _placed(findings: Sequence[Placed], own: Sequence[LanguagePart]) -> list[Placed]:
    """Return the findings in joined parts at their place in the whole text, without those that span two parts."""
    sizes = (part.end - part.start + len(_BETWEEN) for part in own)
    begins = [0, *accumulate(sizes)]
    placed = []
    for item in findings:
        number = bisect_right(begins, item.begin) - 1
        shift = own[number].start - begins[number]
        if item.end + shift <= own[number].end:
            placed.append(replace(item, begin=item.begin + shift, end=item.end + shift))
    return placed


def _sentiment(sentiments: Sequence[tuple[Sentiment | None, int]]) -> Sentiment | None:
    """Return the mean of sentiments weighted by the lengths of their texts; None without any."""
    known = [(sentiment, length) for sentiment, length in sentiments if sentiment is not None]
    if not known:
        return None
    total = sum(length for _, length in known)
    means = [sum(getattr(sentiment, mood) * length for sentiment, length in known) / total for mood in _MOODS]
    labels = {sentiment.label for sentiment, _ in known}
    label = labels.pop() if len(labels) == 1 else _MOODS[means.index(max(means))].upper()
    return Sentiment(label, *means)
