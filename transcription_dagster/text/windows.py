"""Long transcripts in overlapping windows, and their edits joined so that no seam shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transcription_dagster.model import Edit, Word
from transcription_dagster.text.boundaries import ends_sentence

#: Share of a window, at its end, in which the end of a sentence is looked for.
_SLACK = 0.1


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The words `first` up to, not including, `stop`."""

    first: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.first


def make_windows(words: Sequence[Word], size: int, overlap: int) -> list[Window]:
    """Cut `words` into windows of nearly equal length, at most `size` words, that overlap by `overlap` words.

    A window ends with a sentence where one ends near its limit. `overlap` has to be less than half of `size`.
    """
    if not 0 <= overlap < size / 2:
        raise ValueError(f"an overlap of {overlap} does not fit windows of {size} words")
    windows: list[Window] = []
    first = 0
    while first < len(words) and (not windows or windows[-1].stop < len(words)):
        remaining = len(words) - first
        count = max(math.ceil((remaining - overlap) / (size - overlap)), 1)
        stop = _stop(words, first, math.ceil((remaining - overlap) / count) + overlap)
        windows.append(Window(first, stop))
        first = max(stop - overlap, first + 1)
    return windows


def split_window(words: Sequence[Word], window: Window) -> list[Window]:
    """Return the window's two halves, parted at a sentence if one ends near its middle."""
    middle = _stop(words[: window.stop], window.first, max(len(window) * 11 // 20, 1))
    return [half for half in (Window(window.first, middle), Window(middle, window.stop)) if len(half)]


def join_edits(proposals: Mapping[Window, Sequence[Edit]]) -> list[Edit]:
    """Return every window's edits, each place taken from the window in which it is most central.

    A window knows least about the words at its edges. Windows that gave no answer do not count.
    """
    return [edit for window in sorted(proposals) for edit in proposals[window] if _owner(edit, proposals) == window]


def _stop(words: Sequence[Word], first: int, size: int) -> int:
    limit = min(first + size, len(words))
    if limit == len(words):
        return limit
    earliest = max(limit - int(size * _SLACK), first + 1)
    ends = (stop for stop in range(limit, earliest - 1, -1) if ends_sentence(words[stop - 1], words[stop]))
    return next(ends, limit)


def _owner(edit: Edit, proposals: Mapping[Window, Sequence[Edit]]) -> Window | None:
    """The answered window whose edges are farthest from the edit; the earlier of two that are equal.

    An edit whose indices lie outside every window belongs to the one that made it: validation will judge it.
    """
    centre = (edit.first + edit.last) / 2
    around = [window for window in sorted(proposals) if window.first <= centre < window.stop]
    if not around:
        return next(window for window in sorted(proposals) if edit in proposals[window])
    return max(around, key=lambda window: min(centre - window.first, window.stop - centre))
