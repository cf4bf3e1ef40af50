"""Cut long transcripts into overlapping windows, and join their edits without visible seams."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transcription_dagster.language.boundaries import ends_sentence
from transcription_dagster.model import Edit, Word

#: Final share of a window in which to look for the end of a sentence.
_SLACK = 0.1


@dataclass(frozen=True, slots=True, order=True)
class TextWindow:
    """The words [`first`, `stop`)."""

    first: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.first


def make_windows(words: Sequence[Word], size: int, overlap: int) -> list[TextWindow]:
    """Cut `words` into windows of nearly equal length, at most `size` words, overlapping by `overlap` words.

    A window ends at a sentence end near its limit, if there is one. `overlap` must be less than half of `size`.
    """
    if not 0 <= overlap < size / 2:
        raise ValueError(f"an overlap of {overlap} does not fit windows of {size} words")
    windows: list[TextWindow] = []
    first = 0
    while first < len(words) and (not windows or windows[-1].stop < len(words)):
        remaining = len(words) - first
        count = max(math.ceil((remaining - overlap) / (size - overlap)), 1)
        stop = _stop(words, first, math.ceil((remaining - overlap) / count) + overlap)
        windows.append(TextWindow(first, stop))
        first = max(stop - overlap, first + 1)
    return windows


def split_window(words: Sequence[Word], window: TextWindow) -> list[TextWindow]:
    """Split a window into halves, at a sentence end near its middle if there is one."""
    middle = _stop(words[: window.stop], window.first, max(len(window) * 11 // 20, 1))
    return [half for half in (TextWindow(window.first, middle), TextWindow(middle, window.stop)) if len(half)]


def join_edits(proposals: Mapping[TextWindow, Sequence[Edit]]) -> list[Edit]:
    """Join the windows' edits, taking each place from the window in which it is most central.

    A window knows least about the words at its edges. Unanswered windows are ignored. An edit placed outside its own
    window stays: only its words can tell where it belongs.
    """
    windows = sorted(proposals)
    return [
        edit
        for window in windows
        for edit in proposals[window]
        # Whole numbers: an index may be too large for a float.
        if _owns(window, (edit.first + edit.last) // 2, windows)
    ]


def join_places(places: Mapping[TextWindow, Sequence[int]]) -> list[int]:
    """Join the windows' word indices, taking each from the window in which it is most central."""
    windows = sorted(places)
    return [
        place
        for window in windows
        for place in places[window]
        if window.first <= place < window.stop and _owns(window, place, windows)
    ]


def _stop(words: Sequence[Word], first: int, size: int) -> int:
    limit = min(first + size, len(words))
    if limit == len(words):
        return limit
    earliest = max(limit - int(size * _SLACK), first + 1)
    ends = (stop for stop in range(limit, earliest - 1, -1) if ends_sentence(words[stop - 1], words[stop]))
    return next(ends, limit)


def _owns(window: TextWindow, place: int, windows: Sequence[TextWindow]) -> bool:
    """Return whether `place` is farthest from the edges in this window; the earlier window wins a tie."""
    if not window.first <= place < window.stop:
        return True
    around = (other for other in windows if other.first <= place < other.stop)
    return window == max(around, key=lambda other: min(place - other.first, other.stop - place))
