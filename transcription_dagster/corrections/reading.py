"""The text as people read it: the machine's words, the refined text over them, and people's changes over both."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate

from transcription_dagster.captions.corrections import correct_words
from transcription_dagster.corrections.changes import ChangedWords, WordRange
from transcription_dagster.corrections.differences import token_differences
from transcription_dagster.language.alignment import Token, tokenize
from transcription_dagster.model import Edit, Word
from transcription_dagster.transcripts.plain_text import join_words, paragraph_starts


class Author(StrEnum):
    """Who wrote a passage."""

    MACHINE = "machine"
    #: The vocabulary or Claude.
    REFINEMENT = "refinement"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Passage:
    """The smallest unit of replacement: the machine's words `first` up to `stop` with their current text.

    Unchanged text has a passage per word; words written as one ("twenty", "-five") share a passage. A passage without
    words was deleted.
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
    """The machine's words and the refined text over them, to which people's changes apply."""

    words: tuple[Word, ...]
    #: The machine's passages, by the index of their first word.
    machine: dict[int, Passage]
    #: The refinement's passages, by the index of their first word.
    refined: dict[int, Passage]
    #: Words that begin a paragraph.
    starts: frozenset[int]


@dataclass(frozen=True, slots=True)
class CorrectedReading:
    """All passages in order, and the words that begin a turn."""

    words: tuple[Word, ...]
    passages: tuple[Passage, ...]
    starts: frozenset[int]

    def turns(self) -> list[CorrectedTurn]:
        """Return the turns in order, including turns whose words were all deleted."""
        turns: list[list[Passage]] = []
        for passage in self.passages:
            if not turns or passage.first in self.starts:
                turns.append([])
            turns[-1].append(passage)
        return [CorrectedTurn(tuple(passages)) for passages in turns]

    def part(self, first: int, stop: int) -> list[Passage]:
        """Return the passages that hold any of the words `first` up to `stop`."""
        begin = max(0, bisect_right(self.passages, first, key=lambda passage: passage.first) - 1)
        end = bisect_left(self.passages, stop, key=lambda passage: passage.first)
        return [passage for passage in self.passages[begin:end] if passage.stop > first]

    def stretch(self, first: int, stop: int) -> WordRange:
        """Return the words `first` up to `stop` with the machine's times."""
        return WordRange(first, stop, self.words[first].start, self.words[stop - 1].end)

    def heard(self, first: int, stop: int) -> str:
        """Return the machine's words `first` up to `stop` as text."""
        return join_words(self.words[first:stop])

    def as_read(self) -> tuple[Word, ...]:
        """The words as they read now, with their times and speakers."""
        return tuple(word for passage in self.passages for word in passage.words)

    def text(self) -> str:
        """Return the turns as paragraphs separated by empty lines, with a newline at the end."""
        paragraphs = [turn.text for turn in self.turns() if turn.words]
        return "\n\n".join(paragraphs) + "\n" if paragraphs else ""


def lay_refined(words: Sequence[Word], refined_text: str | None) -> UncorrectedText:
    """Apply the refined text to the machine's words; without one, paragraphs follow from the words themselves."""
    machine = list(_of_machine(words))
    by_first = {passage.first: passage for passage in machine}
    if refined_text is None or not words:
        return UncorrectedText(tuple(words), by_first, {}, frozenset(paragraph_starts(words)))
    paragraphs = [tokenize(paragraph) for paragraph in refined_text.split("\n\n") if paragraph.strip()]
    tokens = [token for paragraph in paragraphs for token in paragraph]
    found = token_differences([tokenize(join_words(passage.words)) for passage in machine], tokens)
    refined: dict[int, Passage] = {}
    for place in found.places:
        first, stop = machine[place.first].first, machine[place.stop - 1].stop
        reworded = _reworded(words[first:stop], tokens[place.new_first : place.new_stop])
        refined[first] = Passage(first, stop, reworded, Author.REFINEMENT)
    openings = accumulate((len(paragraph) for paragraph in paragraphs[:-1]), initial=0)
    starts = frozenset(machine[found.unit_of(opening)].first for opening in openings)
    return UncorrectedText(tuple(words), by_first, refined, starts)


def lay_changes(base: UncorrectedText, state: ChangedWords) -> CorrectedReading:
    """Apply people's changes to the words. A change replaces every refinement that it touches."""
    passages: list[Passage] = []
    starts: set[int] = set()
    speaker: str | None = None
    for passage in _chosen(base, state):
        named = _with_speaker(passage, base.words, state)
        words = range(named.first, named.stop)
        forced = [state.breaks[word][0] for word in words if word in state.breaks]
        begins = any(word in base.starts for word in words) or named.speaker != speaker
        if not passages or (forced[-1] if forced else begins):
            starts.add(named.first)
        passages.append(named)
        speaker = named.speaker
    return CorrectedReading(base.words, tuple(passages), frozenset(starts))


def _chosen(base: UncorrectedText, state: ChangedWords) -> Iterator[Passage]:
    position = 0
    while position < len(base.words):
        passage = _persons(base.words, state, position) or _undisturbed(base, state, position)
        passage = passage or base.machine[position]
        yield passage
        position = passage.stop


def _persons(words: Sequence[Word], state: ChangedWords, position: int) -> Passage | None:
    """Return the passage that a person wrote at the word, if all its words still belong to that change."""
    change = state.texts.get(position)
    if change is None or change.draft.where.first != position:
        return None
    first, stop = change.draft.where.first, change.draft.where.stop
    if stop > len(words) or any(state.texts.get(word) is not change for word in range(first, stop)):
        return None
    reworded = tuple(
        replace(word, confidence=1.0, corrected=True)
        for word in _reworded(words[first:stop], tokenize(change.draft.new))
    )
    return Passage(first, stop, reworded, Author.PERSON, change.version)


def _undisturbed(base: UncorrectedText, state: ChangedWords, position: int) -> Passage | None:
    passage = base.refined.get(position)
    if passage is None or any(word in state.texts for word in range(passage.first, passage.stop)):
        return None
    return passage


def _with_speaker(passage: Passage, words: Sequence[Word], state: ChangedWords) -> Passage:
    named = state.speakers.get(passage.first)
    speaker = named[0] if named else words[passage.first].speaker
    if speaker == passage.speaker and all(word.speaker == speaker for word in passage.words):
        return passage
    return replace(passage, speaker=speaker, words=tuple(replace(word, speaker=speaker) for word in passage.words))


def _of_machine(words: Sequence[Word]) -> Iterator[Passage]:
    first = 0
    for index in range(1, len(words) + 1):
        if index == len(words) or not _written_as_one(words[index - 1], words[index]):
            yield Passage(first, index, tuple(words[first:index]), speaker=words[first].speaker)
            first = index


def _written_as_one(before: Word, word: Word) -> bool:
    """Return whether the two have neither a space nor a word boundary between them."""
    if not word.glued:
        return False
    ends = accumulate(len(token.text) for token in tokenize(before.text + word.text))
    return len(before.text) not in set(ends)


def _reworded(words: Sequence[Word], tokens: Sequence[Token]) -> tuple[Word, ...]:
    """Return the words in their new wording, spread over the time of the old ones."""
    if len(words) == len(tokens) == 1:
        return (replace(words[0], text=tokens[0].text),)
    new = join_words([Word(token.text, 0.0, 0.0, glued=token.glued) for token in tokens])
    return tuple(correct_words(words, [Edit(0, len(words) - 1, "", new, "")]))
