"""The current text of a recording: the machine's words, with the refined text and then people's changes applied."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import NamedTuple

from transcription_dagster.corrections.changes import Change, ChangedWords, WordRange
from transcription_dagster.corrections.differences import token_differences
from transcription_dagster.language.tokenization import Token, tokenize
from transcription_dagster.model import Edit, Word
from transcription_dagster.transcripts.plain_text import join_words, paragraph_starts
from transcription_dagster.transcripts.reading import Turn
from transcription_dagster.transcripts.word_edits import correct_words


class Author(StrEnum):
    """Who wrote a passage."""

    MACHINE = "machine"
    #: The vocabulary or Claude.
    REFINEMENT = "refinement"
    PERSON = "person"


class Passage(NamedTuple):
    """The smallest unit of replacement: the machine's words `first` up to `stop` with their current text.

    Unchanged text has a passage per word; words written as one ("twenty", "-five") share a passage. A passage without
    words was deleted. A tuple, because reading ten hours makes 100,000 of them.
    """

    first: int
    stop: int
    words: tuple[Word, ...]
    author: Author = Author.MACHINE
    #: For a person's passage: the version of the change.
    version: int | None = None
    #: The speaker, also if no words are left.
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class CorrectedTurn:
    """Consecutive passages of one speaker, read as one paragraph."""

    passages: tuple[Passage, ...]

    @property
    def first(self) -> int:
        return self.passages[0].first

    @property
    def stop(self) -> int:
        return self.passages[-1].stop

    @property
    def words(self) -> list[Word]:
        return [word for passage in self.passages for word in passage.words]

    @property
    def speaker(self) -> str | None:
        return self.passages[0].speaker

    @property
    def text(self) -> str:
        return join_words(self.words)


@dataclass(frozen=True, slots=True)
class UncorrectedText:
    """The machine's words with the refined text applied, before people's changes.

    Passages of single words are created on demand: those of ten hours would take 40 MB.
    """

    words: tuple[Word, ...]
    #: Words that share a passage with the word before.
    joined: frozenset[int]
    #: The refinement's passages, by the index of their first word.
    refined: dict[int, Passage]
    #: Words that begin a paragraph.
    starts: frozenset[int]

    def stop(self, first: int) -> int:
        """Return where the machine's passage that begins at word `first` ends."""
        stop = first + 1
        while stop in self.joined:
            stop += 1
        return stop

    def machine_passages(self) -> Iterator[Passage]:
        """Yield the machine's passages in order."""
        first = 0
        while first < len(self.words):
            passage = self.machine_passage(first)
            yield passage
            first = passage.stop

    def machine_passage(self, first: int) -> Passage:
        """Return the machine's passage that begins at word `first`."""
        stop = self.stop(first)
        return Passage(first, stop, self.words[first:stop], Author.MACHINE, None, self.words[first].speaker)


@dataclass(frozen=True, slots=True)
class CorrectedReading:
    """The text with people's changes, as passages and turns."""

    base: UncorrectedText
    state: ChangedWords
    #: The passages of people and of the refinement, by the index of their first word.
    written: dict[int, Passage]
    #: Words that begin a turn, in order.
    starts: tuple[int, ...]

    @property
    def words(self) -> tuple[Word, ...]:
        """The machine's words."""
        return self.base.words

    def passages(self, first: int = 0, stop: int | None = None) -> Iterator[Passage]:
        """Yield the passages that hold any of the words `first` up to `stop`, in order; all by default."""
        for turn in self.turns(first, stop):
            yield from (
                passage for passage in turn.passages if passage.stop > first and (stop is None or passage.first < stop)
            )

    def turns(self, first: int = 0, stop: int | None = None) -> Iterator[CorrectedTurn]:
        """Yield the turns that hold any of the words `first` up to `stop`, in order; all by default.

        Turns whose words were all deleted are among them.
        """
        low = max(0, bisect_right(self.starts, first) - 1)
        high = len(self.starts) if stop is None else bisect_left(self.starts, stop)
        for start, end in pairwise((*self.starts, len(self.words))[low : high + 1]):
            if end > first:
                yield CorrectedTurn(tuple(self._between(start, end)))

    def outline(self) -> Iterator[Turn]:
        """Yield the words and the speaker of each turn, without its text."""
        for start, end in pairwise((*self.starts, len(self.words))):
            yield Turn(start, end, _speaker(self.words, self.state, start))

    def speakers(self) -> tuple[str, ...]:
        """Return the speakers in order of first appearance."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.outline() if turn.speaker is not None))

    def speaker_before(self, first: int) -> str | None:
        """Return the speaker of the turn before the one that begins at word `first`; None for the first turn."""
        number = bisect_left(self.starts, first)
        return _speaker(self.words, self.state, self.starts[number - 1]) if number else None

    def _between(self, first: int, stop: int) -> Iterator[Passage]:
        """Yield the passages from the one that begins at word `first` to the one that ends at `stop`."""
        while first < stop:
            passage = self.written.get(first) or self.base.machine_passage(first)
            first = passage.stop
            yield _with_speaker(passage, self.words, self.state)

    def stretch(self, first: int, stop: int) -> WordRange:
        """Return the words `first` up to `stop` with the machine's times."""
        return WordRange(first, stop, self.words[first].start, self.words[stop - 1].end)

    def heard(self, first: int, stop: int) -> str:
        """Return the machine's words `first` up to `stop` as text."""
        return join_words(self.words[first:stop])

    def current_words(self) -> tuple[Word, ...]:
        """Return the words of the current text, with their times and speakers."""
        return tuple(word for passage in self.passages() for word in passage.words)

    def text(self) -> str:
        """Return the turns as paragraphs separated by empty lines, with a newline at the end."""
        paragraphs = [turn.text for turn in self.turns() if turn.words]
        return "\n\n".join(paragraphs) + "\n" if paragraphs else ""


def apply_refinement(words: Sequence[Word], refined_text: str | None) -> UncorrectedText:
    """Apply the refined text to the machine's words; without one, paragraphs follow from the words themselves."""
    joined = frozenset(index for index, pair in enumerate(pairwise(words), 1) if _written_as_one(*pair))
    if refined_text is None or not words:
        return UncorrectedText(tuple(words), joined, {}, frozenset(paragraph_starts(words)))
    paragraphs = [tokenize(paragraph) for paragraph in refined_text.split("\n\n") if paragraph.strip()]
    tokens = [token for paragraph in paragraphs for token in paragraph]
    firsts = [*(first for first in range(len(words)) if first not in joined), len(words)]
    differences = token_differences(
        [tokenize(join_words(words[first:stop])) for first, stop in pairwise(firsts)], tokens
    )
    refined: dict[int, Passage] = {}
    for place in differences.places:
        first, stop = firsts[place.first], firsts[place.stop]
        reworded = _reworded(words[first:stop], tokens[place.new_first : place.new_stop])
        refined[first] = Passage(first, stop, reworded, Author.REFINEMENT)
    openings = accumulate((len(paragraph) for paragraph in paragraphs[:-1]), initial=0)
    starts = frozenset(firsts[differences.unit_of(opening)] for opening in openings)
    return UncorrectedText(tuple(words), joined, refined, starts)


def apply_changes(base: UncorrectedText, state: ChangedWords) -> CorrectedReading:
    """Apply people's changes to the words. A change replaces every refinement that it touches."""
    refinements = (
        passage
        for passage in base.refined.values()
        if not any(word in state.texts for word in range(passage.first, passage.stop))
    )
    by_people = (
        _passage_by_person(base.words, change)
        for first, change in state.texts.items()
        if first == change.draft.where.first and _is_whole(change, state, len(base.words))
    )
    written = {passage.first: passage for passage in (*refinements, *by_people)}
    return CorrectedReading(base, state, written, tuple(_turn_starts(base, state, written)))


def _turn_starts(base: UncorrectedText, state: ChangedWords, written: Mapping[int, Passage]) -> Iterator[int]:
    previous_speaker: str | None = None
    first = 0
    while first < len(base.words):
        stop = written[first].stop if first in written else base.stop(first)
        speaker = _speaker(base.words, state, first)
        set_by_people = [state.breaks[word][0] for word in range(first, stop) if word in state.breaks]
        is_start = speaker != previous_speaker or any(word in base.starts for word in range(first, stop))
        if first == 0 or (set_by_people[-1] if set_by_people else is_start):
            yield first
        first, previous_speaker = stop, speaker


def _is_whole(change: Change, state: ChangedWords, word_count: int) -> bool:
    """Return whether all words of a changed text still belong to the change, in a transcript of `word_count` words."""
    span = change.draft.where
    return span.stop <= word_count and all(state.texts.get(word) is change for word in range(span.first, span.stop))


def _passage_by_person(words: Sequence[Word], change: Change) -> Passage:
    first, stop = change.draft.where.first, change.draft.where.stop
    reworded = tuple(
        replace(word, confidence=1.0, corrected=True)
        for word in _reworded(words[first:stop], tokenize(change.draft.new))
    )
    return Passage(first, stop, reworded, Author.PERSON, change.version)


def _speaker(words: Sequence[Word], state: ChangedWords, word: int) -> str | None:
    named = state.speakers.get(word)
    return named[0] if named else words[word].speaker


def _with_speaker(passage: Passage, words: Sequence[Word], state: ChangedWords) -> Passage:
    speaker = _speaker(words, state, passage.first)
    if speaker == passage.speaker and all(word.speaker == speaker for word in passage.words):
        return passage
    return passage._replace(speaker=speaker, words=tuple(replace(word, speaker=speaker) for word in passage.words))


def _written_as_one(before: Word, word: Word) -> bool:
    """Return whether the two have neither a space nor a word boundary between them."""
    if not word.glued:
        return False
    ends = accumulate(len(token.text) for token in tokenize(before.text + word.text))
    return len(before.text) not in set(ends)


def _reworded(words: Sequence[Word], tokens: Sequence[Token]) -> tuple[Word, ...]:
    """Return the words with the text of `tokens`, spread over the time of the old words."""
    if len(words) == len(tokens) == 1:
        return (replace(words[0], text=tokens[0].text),)
    new = join_words([Word(token.text, 0.0, 0.0, glued=token.glued) for token in tokens])
    return tuple(correct_words(words, [Edit(0, len(words) - 1, "", new, "")]))
