"""Carry people's changes over from an earlier transcript to a new one of the same recording.

A change is carried over if the new transcript has its words at about the same time. Otherwise it is kept as a lost
change, for a person to decide on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from transcription_dagster.corrections.changes import Change, Draft, Kind, WordRange, replay
from transcription_dagster.corrections.reading import Passage, UncorrectedText
from transcription_dagster.language.spelling import letters
from transcription_dagster.transcripts.plain_text import join_words

#: Largest difference of a word's times between the two transcripts, in seconds.
_TOLERANCE = 2.0


@dataclass(frozen=True, slots=True)
class Carried:
    """A change as repeated on the new transcript; it keeps its author and time."""

    draft: Draft
    who: str
    when: datetime


def carry(changes: Sequence[Change], base: UncorrectedText) -> list[Carried]:
    """Repeat the net effect of all earlier changes on a new transcript, in the order of their versions.

    Corrections that the new transcript already contains are left out. Speakers' names are carried by time: the same
    stretches keep their speaker, whatever the new transcript calls the voice.
    """
    state = replay(changes)
    effective = {change.version for change in state.texts.values()} | {version for _, version in state.breaks.values()}
    finder = _WordFinder(base)
    carried: list[Carried] = []
    for change in changes:
        if change.version in state.undone or change.draft.kind is Kind.UNDO:
            continue
        is_effective = change.version in effective or change.draft.stretches or change.draft.is_lost
        draft = finder.carried_draft(change) if is_effective else None
        if draft is not None:
            carried.append(Carried(draft, change.who, change.when))
    return carried


class _WordFinder:
    """Finds the words of an earlier transcript in a new one."""

    def __init__(self, base: UncorrectedText) -> None:
        self._words = base.words
        self._passages = list(base.machine_passages())
        self._letters = [letters(join_words(passage.words)) for passage in self._passages]
        self._by_letters: defaultdict[str, list[int]] = defaultdict(list)
        for number, spelled in enumerate(self._letters):
            self._by_letters[spelled].append(number)

    def carried_draft(self, change: Change) -> Draft | None:
        """Return the change on the new transcript, lost if its words are missing; None if it has no effect any more."""
        old = replace(change.draft, carried_from=change.version, is_lost=False)
        if old.kind is Kind.SPEAKER:
            stretches = tuple(self._spoken_in(old.stretches))
            if not stretches:
                return self._lost(old)
            return replace(old, where=self._stretch(stretches[0].first, stretches[-1].stop), stretches=stretches)
        if passages := self._find(old.heard, old.where.start):
            if old.kind is Kind.TEXT and old.new == join_words(
                [word for passage in passages for word in passage.words]
            ):
                return None
            stretches = tuple(self._spoken_in(old.stretches))
            return replace(old, where=self._stretch(passages[0].first, passages[-1].stop), stretches=stretches)
        if old.kind is Kind.TEXT and old.new and self._find(old.new, old.where.start):
            return None
        return self._lost(old)

    def _lost(self, draft: Draft) -> Draft:
        """Return the draft without effect, at the nearest place in time."""
        nearest = min(self._passages, key=lambda passage: abs(passage.words[0].start - draft.where.start), default=None)
        first, stop = (nearest.first, nearest.stop) if nearest else (0, 0)
        return replace(draft, where=replace(draft.where, first=first, stop=stop), is_lost=True)

    def _find(self, text: str, start: float) -> list[Passage]:
        """Return the passages with these letters that begin nearest to `start`, within the tolerance; empty if none."""
        sought = "".join(letters(word) for word in text.split())
        if not sought:
            return []
        best: list[Passage] = []
        distance = _TOLERANCE
        for number in self._candidates(sought):
            difference = abs(self._passages[number].words[0].start - start)
            if difference <= distance and (matching := self._matching(number, sought)):
                best, distance = matching, difference
        return best

    def _candidates(self, sought: str) -> Iterator[int]:
        """Yield the indices of passages whose letters are a beginning of `sought`."""
        for length in range(1, len(sought) + 1):
            yield from self._by_letters.get(sought[:length], ())

    def _matching(self, number: int, sought: str) -> list[Passage]:
        """Return the passages from `number` on that together spell `sought`; empty if they do not."""
        collected = ""
        for stop in range(number, len(self._passages)):
            collected += self._letters[stop]
            if collected == sought:
                return self._passages[number : stop + 1]
            if not sought.startswith(collected):
                return []
        return []

    def _spoken_in(self, stretches: Sequence[WordRange]) -> Iterator[WordRange]:
        """Yield the new transcript's words whose middle lies in one of the stretches, as stretches."""
        spans = iter(sorted((stretch.start, stretch.end) for stretch in stretches))
        span = next(spans, None)
        first: int | None = None
        for passage in [*self._passages, None]:
            middle = (passage.words[0].start + passage.words[-1].end) / 2 if passage else float("inf")
            while span and span[1] < middle:
                if first is not None:
                    yield self._stretch(first, passage.first if passage else len(self._words))
                    first = None
                span = next(spans, None)
            if passage and span and span[0] <= middle and first is None:
                first = passage.first

    def _stretch(self, first: int, stop: int) -> WordRange:
        return WordRange(first, stop, self._words[first].start, self._words[stop - 1].end)
