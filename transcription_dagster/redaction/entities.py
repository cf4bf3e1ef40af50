"""Map the entities that detectors find in a text to words, and combine the detections of several detectors.

A model can detect a name in one sentence and miss it in the next, so every other mention of the name counts too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, groupby
from typing import NamedTuple

from transcription_dagster.language.sentences import cut_text
from transcription_dagster.language.spelling import affixes, folded_words
from transcription_dagster.model import Word
from transcription_dagster.redaction.patterns import Detection
from transcription_dagster.transcripts.plain_text import join_words

#: Kinds that consist of words rather than digits or letters.
OF_WORDS = frozenset({"name", "address"})


class EntitySpan(NamedTuple):
    """An entity in a text: the characters `begin` up to but excluding `end`, and its kind."""

    begin: int
    end: int
    kind: str


def entities_in_words(
    words: Sequence[Word], kinds: Collection[str], max_bytes: int, detect: Callable[[str], Iterable[EntitySpan]]
) -> list[Detection]:
    """Return the words of the entities of these kinds, in order.

    `detect` reads pieces of the text of at most `max_bytes` bytes of UTF-8; offsets are in the piece.
    """
    text = join_words(words)
    # The end of each word in the text, including the space before it.
    ends = list(accumulate(len(word.text) + (0 if word.glued or not index else 1) for index, word in enumerate(words)))
    return sorted(
        Detection(bisect_right(ends, piece.start + begin), bisect_right(ends, piece.start + end - 1) + 1, kind)
        for piece in cut_text(text, max_bytes)
        if piece.text.strip()
        for begin, end, kind in detect(piece.text)
        if kind in kinds
    )


def merged_detections(detections: Sequence[Detection], others: Sequence[Detection]) -> list[Detection]:
    """Merge both in order; `others` keep only the words outside `detections`, which are in order and disjoint.

    A postcode that a pattern found as `digits` leaves the rest of its address an address.
    """
    merged = list(detections)
    claimed = {place for each in detections for place in range(each.first, each.stop)}
    for other in others:
        span = range(other.first, other.stop)
        for is_claimed, places in groupby(span, claimed.__contains__):
            first, *others_after = places
            if not is_claimed:
                merged.append(replace(other, first=first, stop=first + 1 + len(others_after)))
        claimed.update(span)
    return sorted(merged)


def mentions(texts: Sequence[str], phrases: Iterable[tuple[str, Sequence[str]]]) -> list[Detection]:
    """Return every place in the words `texts` where a phrase (its kind and its words) occurs, in order.

    Case and punctuation may differ, but a capital at the beginning must be one: "may" does not mention "May".
    """
    folded = [folded_words(text) for text in texts]
    by_first: dict[tuple[str, ...], dict[tuple[tuple[str, ...], ...], tuple[str, bool]]] = defaultdict(dict)
    for kind, phrase in phrases:
        words = tuple(folded_words(text) for text in phrase)
        if any(words):
            by_first[words[0]].setdefault(words, (kind, _is_capital(phrase[0])))
    return [
        Detection(first, first + len(words), kind)
        for first, beginning in enumerate(folded)
        for words, (kind, capital) in by_first.get(beginning, {}).items()
        if tuple(folded[first : first + len(words)]) == words and (_is_capital(texts[first]) or not capital)
    ]


def _is_capital(text: str) -> bool:
    return affixes(text)[1][:1].isupper()
