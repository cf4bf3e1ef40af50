"""The corrected text in the page's turns; text that a person wrote shows its author and the transcribed words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from transcription_dagster.corrections.desk import Corrected
from transcription_dagster.corrections.reading import Author, CorrectedTurn, Passage
from transcription_dagster.model import Word
from transcription_dagster.web.reading_room.turns import DOUBTFUL_CONFIDENCE, Mark, Piece, ShownTurn, differences


def corrected_turns(now: Corrected, first: int = 0, stop: int | None = None) -> Iterator[ShownTurn]:
    """Yield the turns that hold any of the machine's words `first` up to `stop`, in order."""
    for turn in now.reading.turns(first, stop):
        line = _Line(now)
        for passage in turn.passages:
            line.add(passage)
        yield line.turn(turn, is_new=turn.speaker != now.reading.speaker_before(turn.first))


@dataclass
class _Line:
    """The text of one turn as it is built."""

    now: Corrected
    pieces: list[Piece] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    #: UTF-16 units so far.
    length: int = 0

    def add(self, passage: Passage) -> None:
        why = self._why(passage)
        for place, word in enumerate(passage.words):
            space = "" if word.glued or not self.pieces else " "
            # Between two words of one passage, the space is part of what the person wrote.
            self._append(space, why if place else "")
            self.offsets.append(self.length)
            self.times.append(round(word.start * 100))
            self._append(word.text, why, doubt=_doubt(passage, word))

    def turn(self, turn: CorrectedTurn, *, is_new: bool) -> ShownTurn:
        where = self.now.reading.stretch(turn.first, turn.stop)
        return ShownTurn(
            number=turn.first,
            first=turn.first,
            stop=turn.stop,
            start=where.start,
            end=where.end,
            speaker=turn.speaker,
            is_new_speaker=is_new,
            pieces=tuple(self.pieces),
            offsets=" ".join(map(str, differences(self.offsets))),
            times=" ".join(map(str, differences(self.times))),
        )

    def _append(self, text: str, why: str, *, doubt: str = "") -> None:
        if not text:
            return
        self.length += len(text.encode("utf-16-le")) // 2
        mark = Mark.ADDED if why else Mark.DOUBT if doubt else Mark.PLAIN
        last = self.pieces[-1] if self.pieces else None
        if last is not None and last.mark is mark and last.why == (why or doubt) and mark is not Mark.DOUBT:
            self.pieces[-1] = Piece(last.text + text, mark, last.why)
        else:
            self.pieces.append(Piece(text, mark, why or doubt))

    def _why(self, passage: Passage) -> str:
        change = self.now.change(passage.version) if passage.version is not None else None
        if change is None:
            return ""
        return f"{change.who}, {change.when:%Y-%m-%d}; original: {change.draft.heard}"


def _doubt(passage: Passage, word: Word) -> str:
    is_doubtful = passage.author is Author.MACHINE and word.confidence < DOUBTFUL_CONFIDENCE
    return f"{word.confidence:.0%} sure" if is_doubtful else ""
