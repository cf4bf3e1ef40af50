"""Turns as the page shows them: text, with the time of each word beside it rather than an element for each word.

An element a word makes a page of 100,000 words slow to lay out and large in memory. Here a turn is a run of text, and
two attributes say where in it each word begins and when it is said; scripts find words from those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transcription_dagster.model import Word
from transcription_dagster.transcripts.reading import Reading, Turn

#: Words with a lower probability are marked as doubtful.
DOUBTFUL_CONFIDENCE = 0.4


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a turn's text; `doubt` is the confidence of a doubtful word in percent."""

    text: str
    doubt: int | None = None


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """One turn of the page; times in seconds."""

    number: int
    first: int
    stop: int
    start: float
    end: float
    speaker: str | None
    #: Whether the turn before it is another speaker's.
    is_new_speaker: bool
    pieces: tuple[Piece, ...]
    #: Each word's first character in UTF-16 units, as scripts count, and each word's start in hundredths of a second;
    #: both as differences to the word before.
    offsets: str
    times: str


def shown_turns(reading: Reading) -> list[ShownTurn]:
    """All turns of a reading, in order."""
    shown = []
    speaker = None
    for number, turn in enumerate(reading.turns):
        shown.append(_shown(number, turn, reading.words[turn.first : turn.stop], is_new=turn.speaker != speaker))
        speaker = turn.speaker
    return shown


def _shown(number: int, turn: Turn, words: Sequence[Word], *, is_new: bool) -> ShownTurn:
    pieces: list[Piece] = []
    offsets: list[str] = []
    times: list[str] = []
    run = ""
    length = before = centiseconds = 0
    for index, word in enumerate(words):
        space = "" if word.glued or not index else " "
        offset, time = length + len(space), round(word.start * 100)
        offsets.append(str(offset - before))
        times.append(str(time - centiseconds))
        before, centiseconds = offset, time
        length = offset + _utf16_length(word.text)
        if word.confidence < DOUBTFUL_CONFIDENCE:
            pieces += [Piece(run + space)] if run or space else []
            pieces.append(Piece(word.text, doubt=round(word.confidence * 100)))
            run = ""
        else:
            run += space + word.text
    pieces += [Piece(run)] if run else []
    return ShownTurn(
        number=number,
        first=turn.first,
        stop=turn.stop,
        start=words[0].start,
        end=words[-1].end,
        speaker=turn.speaker,
        is_new_speaker=is_new,
        pieces=tuple(pieces),
        offsets=" ".join(offsets),
        times=" ".join(times),
    )


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
