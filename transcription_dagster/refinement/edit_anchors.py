"""Word indices across edits: where words are after edits, where they were before, and two rounds of edits as one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from transcription_dagster.model import Edit, Transcript, Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.word_edits import correct_words


@dataclass(frozen=True, slots=True)
class _Piece:
    """The words [`first`, `stop`) that an edit replaces, and the position of its new words."""

    first: int
    stop: int
    new_first: int
    new_stop: int


class Anchors:
    """Maps word indices across edits that do not overlap."""

    def __init__(self, words: Sequence[Word], edits: Iterable[Edit]) -> None:
        self._pieces: list[_Piece] = []
        shift = 0
        for edit in sorted(edits, key=lambda edit: edit.first):
            replaced = words[edit.first : edit.last + 1]
            written = len(correct_words(replaced, [_moved(edit, -edit.first)]))
            new_first = edit.first + shift
            self._pieces.append(_Piece(edit.first, edit.last + 1, new_first, new_first + written))
            shift += written - len(replaced)
        self._firsts = [piece.first for piece in self._pieces]
        self._new_firsts = [piece.new_first for piece in self._pieces]

    def new_index(self, index: int) -> int | None:
        """Return the index after the edits of the word at `index`; None inside an edit, past its first word."""
        piece = self._before(self._firsts, index)
        if piece is None or index >= piece.stop:
            return index + (piece.new_stop - piece.stop if piece else 0)
        return piece.new_first if index == piece.first else None

    def new_boundary(self, index: int) -> int:
        """Return the position after the edits of the gap before `index`; a gap inside an edit moves behind it."""
        piece = self._before(self._firsts, index)
        if piece is None or index == piece.first:
            return piece.new_first if piece else index
        return max(index - piece.stop, 0) + piece.new_stop

    def old_span(self, first: int, stop: int) -> tuple[int, int]:
        """Return the span of original words that became the words [`first`, `stop`)."""
        return self._old_edges(first)[0], self._old_edges(stop - 1)[1]

    def whole_span(self, first: int, stop: int) -> tuple[int, int]:
        """Widen the span [`first`, `stop`) of edited words so that it splits no edit."""
        opening, closing = self._around(first), self._around(stop - 1)
        return (opening.new_first if opening else first), (closing.new_stop if closing else stop)

    def _old_edges(self, index: int) -> tuple[int, int]:
        if piece := self._around(index):
            return piece.first, piece.stop
        piece = self._before(self._new_firsts, index)
        old = index - (piece.new_stop - piece.stop if piece else 0)
        return old, old + 1

    def _around(self, index: int) -> _Piece | None:
        piece = self._before(self._new_firsts, index)
        return piece if piece and piece.new_first <= index < piece.new_stop else None

    def _before(self, keys: Sequence[int], index: int) -> _Piece | None:
        position = bisect_right(keys, index)
        return self._pieces[position - 1] if position else None


def corrected_transcript(transcript: Transcript, edits: Sequence[Edit]) -> Transcript:
    """Apply the edits to the transcript; segments keep their times and remaining words."""
    anchors = Anchors(transcript.words, edits)
    moved = (
        replace(segment, first=anchors.new_boundary(segment.first), stop=anchors.new_boundary(segment.stop))
        for segment in transcript.segments
    )
    segments = tuple(segment for segment in moved if segment.first < segment.stop)
    return replace(transcript, words=tuple(correct_words(transcript.words, edits)), segments=segments)


def compose(words: Sequence[Word], first_round: Sequence[Edit], second_round: Sequence[Edit]) -> list[Edit]:
    """Combine two consecutive rounds of edits of `words` into one.

    The second round is anchored in the result of the first. Edits of both rounds to the same words become one edit of
    the first round's kind, or none if they cancel out.
    """
    anchors = Anchors(words, first_round)
    between = correct_words(words, first_round)
    composed: list[Edit] = []
    for group, first, stop in _groups(second_round, anchors):
        old_first, old_stop = anchors.old_span(first, stop)
        absorbed = [edit for edit in first_round if old_first <= edit.first < old_stop]
        rewritten = correct_words(between[first:stop], [_moved(edit, -first) for edit in group])
        old, new = join_words(words[old_first:old_stop]), join_words(rewritten)
        kind = (absorbed or group)[0].kind
        composed.append(Edit(old_first, old_stop - 1, old, new, kind))
    replaced = {index for edit in composed for index in range(edit.first, edit.last + 1)}
    untouched = [edit for edit in first_round if edit.first not in replaced]
    changing = [edit for edit in composed if edit.old != edit.new]
    return sorted([*untouched, *changing], key=lambda edit: edit.first)


def _groups(edits: Sequence[Edit], anchors: Anchors) -> list[tuple[list[Edit], int, int]]:
    """Group the second round's edits by the whole spans they touch."""
    groups: list[tuple[list[Edit], int, int]] = []
    for edit in sorted(edits, key=lambda edit: edit.first):
        first, stop = anchors.whole_span(edit.first, edit.last + 1)
        if groups and first < groups[-1][2]:
            members, opening, closing = groups.pop()
            groups.append(([*members, edit], opening, max(stop, closing)))
        else:
            groups.append(([edit], first, stop))
    return groups


def _moved(edit: Edit, by: int) -> Edit:
    return replace(edit, first=edit.first + by, last=edit.last + by)
