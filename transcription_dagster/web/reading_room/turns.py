"""Turns as the page shows them: plain text with the times of its words in attributes, instead of an element per word.

With an element per word, a page of 100,000 words takes long to lay out and much memory. Here a turn is a run of text;
two attributes hold the position and the start of each word, and scripts look words up in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from transcription_dagster.corrections.manuscript import CorrectedText
from transcription_dagster.corrections.reading import Author, Passage
from transcription_dagster.model import DoubtfulSpeech, Edit, Word
from transcription_dagster.transcripts.reading import Reading, SignedEdit, Turn
from transcription_dagster.transcripts.word_edits import correct_words

#: Words with a lower probability are marked as doubtful.
DOUBTFUL_CONFIDENCE = 0.4


class View(StrEnum):
    """The version of the text that the page shows."""

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
    first_edit = 0
    for number, turn in enumerate(reading.turns):
        while first_edit < len(edits) and edits[first_edit].last < turn.first:
            first_edit += 1
        stop_edit = first_edit
        while stop_edit < len(edits) and edits[stop_edit].first < turn.stop:
            stop_edit += 1
        line = _EditedLine(doubts=doubts, marks_edits=view is View.CHANGES)
        line.add_turn(reading.words, turn, edits[first_edit:stop_edit])
        start, end = reading.words[turn.first].start, reading.words[turn.stop - 1].end
        yield line.shown(number, turn, (start, end), is_new_speaker=turn.speaker != speaker)
        speaker = turn.speaker


def corrected_turns(text: CorrectedText, first: int = 0, stop: int | None = None) -> Iterator[ShownTurn]:
    """Yield the turns that hold any of the machine's words `first` up to `stop`, in order.

    Text that a person wrote shows its author and the transcribed words.
    """
    for turn in text.reading.turns(first, stop):
        line = _Line()
        for passage in turn.passages:
            _add_passage(line, passage, _authorship(passage, text))
        span = text.reading.stretch(turn.first, turn.stop)
        is_new_speaker = turn.speaker != text.reading.speaker_before(turn.first)
        outline = Turn(turn.first, turn.stop, turn.speaker)
        yield line.shown(turn.first, outline, (span.start, span.end), is_new_speaker=is_new_speaker)


def _add_passage(line: _Line, passage: Passage, authorship: str) -> None:
    """Add the words of a passage; `authorship` is empty unless a person wrote them."""
    for index, word in enumerate(passage.words):
        # Between two words of one passage, the space is part of what the person wrote.
        line.add_space(word, authorship if index else "")
        is_doubtful = passage.author is Author.MACHINE and word.confidence < DOUBTFUL_CONFIDENCE
        if authorship:
            line.add_word(word, Mark.ADDED, authorship)
        elif is_doubtful:
            line.add_word(word, Mark.DOUBT, f"{word.confidence:.0%} confidence")
        else:
            line.add_word(word)


def _authorship(passage: Passage, text: CorrectedText) -> str:
    """Return who wrote a passage, when, and the machine's words; empty if no person did."""
    change = text.change(passage.version) if passage.version is not None else None
    return f"{change.who}, {change.when:%Y-%m-%d}; original: {change.draft.heard}" if change else ""


@dataclass
class _Line:
    """The text of one turn while it is built."""

    pieces: list[Piece] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    #: UTF-16 units so far, without struck text.
    length: int = 0

    def add_space(self, word: Word, why: str = "") -> None:
        """Add the space before a word, unless it is glued or begins the line; `why` explains an added space."""
        last = self.pieces[-1].text[-1:] if self.pieces else " "
        if not word.glued and last != " ":
            self._add_text(" ", Mark.ADDED if why else Mark.PLAIN, why)

    def add_word(self, word: Word, mark: Mark = Mark.PLAIN, why: str = "") -> None:
        """Add a word, and record its position and time."""
        self.offsets.append(self.length)
        self.times.append(round(word.start * 100))
        self._add_text(word.text, mark, why)

    def shown(self, number: int, turn: Turn, times: tuple[float, float], *, is_new_speaker: bool) -> ShownTurn:
        """Return the finished turn; `times` are its start and end in seconds."""
        return ShownTurn(
            number=number,
            first=turn.first,
            stop=turn.stop,
            start=times[0],
            end=times[1],
            speaker=turn.speaker,
            is_new_speaker=is_new_speaker,
            pieces=tuple(self.pieces),
            offsets=" ".join(map(str, _differences(self.offsets))),
            times=" ".join(map(str, _differences(self.times))),
        )

    def _add_text(self, text: str, mark: Mark, why: str) -> None:
        self.length += _utf16_length(text)
        last = self.pieces[-1] if self.pieces else None
        # Doubtful words stay apart, so that each has its own explanation and can be jumped to.
        if last is not None and last.mark is mark and last.why == why and mark is not Mark.DOUBT:
            self.pieces[-1] = Piece(last.text + text, mark, why)
        else:
            self.pieces.append(Piece(text, mark, why))


@dataclass(kw_only=True)
class _EditedLine(_Line):
    """A turn of the machine's words with edits."""

    doubts: _Doubts
    marks_edits: bool

    def add_turn(self, words: Sequence[Word], turn: Turn, edits: Sequence[SignedEdit]) -> None:
        """Add the turn's words and its edits; an edit that began in the previous turn belongs there."""
        position = turn.first
        for edit in edits:
            if edit.first >= turn.first:
                for word in words[position : edit.first]:
                    self._add_machine_word(word)
                self._add_edit(words[edit.first : edit.last + 1], edit)
            position = min(edit.last + 1, turn.stop)
        for word in words[position : turn.stop]:
            self._add_machine_word(word)

    def _add_machine_word(self, word: Word) -> None:
        self.add_space(word)
        doubt = self.doubts.of(word)
        self.add_word(word, Mark.DOUBT if doubt else Mark.PLAIN, doubt)

    def _add_edit(self, old: Sequence[Word], edit: SignedEdit) -> None:
        why = f"{edit.kind}, by {edit.author}"
        if self.marks_edits:
            self.add_space(old[0])
            self.pieces.append(Piece(edit.old, Mark.STRUCK, why))
        if not edit.new:
            return
        new = correct_words(old, [Edit(0, edit.last - edit.first, edit.old, edit.new, edit.kind)])
        if self.marks_edits:
            # The struck words separate it from the word that it is attached to.
            new[0] = replace(new[0], glued=False)
        for word in new:
            self.add_space(word)
            self.add_word(word, Mark.ADDED, why)


class _Doubts:
    """Explains which words are doubtful; words must be passed in order of time."""

    def __init__(self, doubtful: Sequence[DoubtfulSpeech]) -> None:
        self._stretches = sorted(doubtful, key=lambda stretch: stretch.start)
        self._next = 0

    def of(self, word: Word) -> str:
        """Return why a word is doubtful; empty if it is not."""
        while self._next < len(self._stretches) and self._stretches[self._next].end <= word.start:
            self._next += 1
        if self._next < len(self._stretches) and word.start >= self._stretches[self._next].start - 0.001:
            return f"may not have been spoken ({', '.join(self._stretches[self._next].witnesses)})"
        return f"{word.confidence:.0%} confidence" if word.confidence < DOUBTFUL_CONFIDENCE else ""


def _differences(values: Sequence[int]) -> Iterator[int]:
    """Yield the difference of each value to the one before it, and of the first to 0."""
    before = 0
    for value in values:
        yield value - before
        before = value


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
