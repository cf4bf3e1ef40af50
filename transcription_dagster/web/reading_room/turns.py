"""Turns as the page shows them: plain text with the times of its words in attributes, instead of an element per word.

With an element per word, a page of 100,000 words takes long to lay out and much memory. Here a turn is a run of text;
two attributes hold the position and the start of each word, and scripts look words up in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from transcription_dagster.captions.corrections import correct_words
from transcription_dagster.model import DoubtfulSpeech, Edit, Word
from transcription_dagster.transcripts.reading import Reading, SignedEdit, Turn

#: Words with a lower probability are marked as doubtful.
DOUBTFUL_CONFIDENCE = 0.4


class View(StrEnum):
    """Which version of the text is shown."""

    #: The machine's words with every edit marked.
    CHANGES = "changes"
    REFINED = "refined"
    RAW = "raw"
    #: The corrected text, which can be corrected further.
    CORRECTED = "corrected"


class Mark(StrEnum):
    """The kind of a piece of text."""

    PLAIN = "plain"
    DOUBT = "doubt"
    STRUCK = "struck"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a turn's text; `why` explains its mark."""

    text: str
    mark: Mark = Mark.PLAIN
    why: str = ""


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """A turn as shown on the page; times in seconds."""

    number: int
    first: int
    stop: int
    start: float
    end: float
    speaker: str | None
    #: Whether another speaker spoke the turn before it.
    is_new_speaker: bool
    pieces: tuple[Piece, ...]
    #: For each word: offset of its first character in UTF-16 units, as JavaScript counts, and start in hundredths of a
    #: second. Both are differences to the word before. Struck text is not counted.
    offsets: str
    times: str


def shown_turns(reading: Reading, view: View = View.CHANGES) -> Iterator[ShownTurn]:
    """Yield all turns of a reading, in order."""
    speaker = None
    doubts = _Doubts(reading.doubtful)
    edits = () if view is View.RAW else reading.edits
    ahead = 0
    for number, turn in enumerate(reading.turns):
        while ahead < len(edits) and edits[ahead].last < turn.first:
            ahead += 1
        stop = ahead
        while stop < len(edits) and edits[stop].first < turn.stop:
            stop += 1
        line = _Line(doubts, marks_edits=view is View.CHANGES)
        line.add(reading.words, turn, edits[ahead:stop])
        yield line.turn(number, turn, reading.words, is_new=turn.speaker != speaker)
        speaker = turn.speaker


def _unsigned(edit: SignedEdit, shift: int = 0) -> Edit:
    return Edit(edit.first - shift, edit.last - shift, edit.old, edit.new, edit.kind)


class _Doubts:
    """Finds what is doubtful about words, queried in order of time."""

    def __init__(self, doubtful: Sequence[DoubtfulSpeech]) -> None:
        self._stretches = sorted(doubtful, key=lambda stretch: stretch.start)
        self._next = 0

    def of(self, word: Word) -> str:
        """Return why a word is doubtful; empty if it is not."""
        while self._next < len(self._stretches) and self._stretches[self._next].end <= word.start:
            self._next += 1
        if self._next < len(self._stretches) and word.start >= self._stretches[self._next].start - 0.001:
            return f"may not have been spoken ({', '.join(self._stretches[self._next].witnesses)})"
        return f"{word.confidence:.0%} sure" if word.confidence < DOUBTFUL_CONFIDENCE else ""


@dataclass
class _Line:
    """The text of one turn as it is built."""

    doubts: _Doubts
    marks_edits: bool
    pieces: list[Piece] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    #: UTF-16 units so far, without struck text.
    length: int = 0

    def add(self, words: Sequence[Word], turn: Turn, edits: Sequence[SignedEdit]) -> None:
        """Add the turn's words and its edits; an edit that began in the previous turn belongs there."""
        position = turn.first
        for edit in edits:
            if edit.first < turn.first:
                position = min(edit.last + 1, turn.stop)
                continue
            for word in words[position : edit.first]:
                self._word(word)
            self._edit(words[edit.first : edit.last + 1], edit)
            position = min(edit.last + 1, turn.stop)
        for word in words[position : turn.stop]:
            self._word(word)

    def _word(self, word: Word, mark: Mark = Mark.PLAIN, why: str = "") -> None:
        self._space(word)
        if mark is Mark.PLAIN and (doubt := self.doubts.of(word)):
            mark, why = Mark.DOUBT, doubt
        self.offsets.append(self.length)
        self.times.append(round(word.start * 100))
        self._text(word.text, mark, why)

    def _edit(self, old: Sequence[Word], edit: SignedEdit) -> None:
        why = f"{edit.kind}, by {edit.author}"
        if self.marks_edits:
            self._space(old[0])
            self.pieces.append(Piece(edit.old, Mark.STRUCK, why))
        if not edit.new:
            return
        new = correct_words(old, [_unsigned(edit, edit.first)])
        if self.marks_edits:
            # The struck words separate it from the word that it is attached to.
            new[0] = replace(new[0], glued=False)
        for word in new:
            self._word(word, Mark.ADDED, why)

    def _space(self, word: Word) -> None:
        last = self.pieces[-1].text[-1:] if self.pieces else " "
        if not word.glued and last != " ":
            self._text(" ", Mark.PLAIN, "")

    def _text(self, text: str, mark: Mark, why: str) -> None:
        self.length += _utf16_length(text)
        last = self.pieces[-1] if self.pieces else None
        if last is not None and last.mark is mark and last.why == why and mark is not Mark.DOUBT:
            self.pieces[-1] = Piece(last.text + text, mark, why)
        else:
            self.pieces.append(Piece(text, mark, why))

    def turn(self, number: int, turn: Turn, words: Sequence[Word], *, is_new: bool) -> ShownTurn:
        return ShownTurn(
            number=number,
            first=turn.first,
            stop=turn.stop,
            start=words[turn.first].start,
            end=words[turn.stop - 1].end,
            speaker=turn.speaker,
            is_new_speaker=is_new,
            pieces=tuple(self.pieces),
            offsets=" ".join(map(str, differences(self.offsets))),
            times=" ".join(map(str, differences(self.times))),
        )


def differences(values: Sequence[int]) -> Iterator[int]:
    """Return the difference of each value to the one before it, and of the first to 0."""
    before = 0
    for value in values:
        yield value - before
        before = value


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
