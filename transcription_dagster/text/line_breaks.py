"""Words laid out in lines: how wide they are, and where a line ends best."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from transcription_dagster.model import Word
from transcription_dagster.text.boundaries import break_cost
from transcription_dagster.text.plain import join_words

#: What a line costs that is off the even width by the width of a whole line; it grows with the square, so that a
#: good break may leave lines somewhat uneven, but no word alone.
_IMBALANCE = 12.0
#: A pyramid, with its longer line below, hides less of the picture (Netflix): what the reverse costs.
_TOP_HEAVY = 1.0
#: What each character too wide costs: more than any break, so that only a word wider than the line exceeds it.
_TOO_WIDE = 1000.0


@lru_cache(maxsize=65536)
def display_width(text: str) -> int:
    """Columns that a text takes: 2 for a wide (East Asian, emoji) character, 0 for a mark that sits on another."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def break_lines(words: Sequence[Word], max_lines: int, max_characters: int) -> tuple[str, ...]:
    """Lay the words out in as few lines as they fit, at the best places and evenly filled.

    Every word is whole and in exactly one line. A word wider than a line has a line of its own that is too wide; if
    the words do not fit `max_lines`, the lines are too wide, never too many.
    """
    if not words:
        return ()
    widths = [display_width(word.text) for word in words]
    spaces = [0 if word.glued else 1 for word in words]
    offsets = [0]
    for width, space in zip(widths, spaces, strict=True):
        offsets.append(offsets[-1] + width + space)
    total = offsets[-1] - spaces[0]
    if total <= max_characters or max_lines == 1 or len(words) == 1:
        return (join_words(words),)
    layout = _Layout(words, offsets, spaces, max_characters)
    fewest = _lines_needed(layout, max_lines)
    _, stops = layout.best(0, fewest, even=total / fewest)
    starts = [0, *stops[:-1]]
    return tuple(join_words(words[start:stop]) for start, stop in zip(starts, stops, strict=True))


class _Layout:
    """The costs of lines over a few words, remembered while the best set of them is looked for."""

    def __init__(self, words: Sequence[Word], offsets: list[int], spaces: list[int], limit: int) -> None:
        self.count = len(words)
        self._offsets = offsets
        self._spaces = spaces
        self.limit = limit
        self._breaks = [break_cost(before, after) for before, after in pairwise(words)]

    def width(self, start: int, stop: int) -> int:
        return self._offsets[stop] - self._offsets[start] - self._spaces[start]

    def best(self, start: int, lines: int, even: float) -> tuple[float, list[int]]:
        """The lowest cost of `lines` lines (fewer if words are fewer) from `start` on, `even` wide, and their stops."""
        if lines == 1 or self.count - start == 1:
            return self._line_cost(start, self.count, even), [self.count]
        cheapest: tuple[float, list[int]] = (math.inf, [])
        for stop in range(start + 1, self.count):
            rest, stops = self.best(stop, lines - 1, even)
            cost = self._line_cost(start, stop, even) + self._breaks[stop - 1] + rest
            if self.width(start, stop) > self.width(stop, stops[0]):
                cost += _TOP_HEAVY
            if cost < cheapest[0]:
                cheapest = (cost, [stop, *stops])
        return cheapest

    def _line_cost(self, start: int, stop: int, even: float) -> float:
        width = self.width(start, stop)
        return _TOO_WIDE * max(0, width - self.limit) + _IMBALANCE * ((width - even) / self.limit) ** 2


def _lines_needed(layout: _Layout, max_lines: int) -> int:
    """The number of lines that a greedy filling takes, which is the fewest, at most `max_lines`."""
    lines, start = 1, 0
    for stop in range(1, layout.count + 1):
        if stop - start > 1 and layout.width(start, stop) > layout.limit:
            lines, start = lines + 1, stop - 1
    return min(lines, max_lines)
