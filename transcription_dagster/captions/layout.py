"""The layout of captions: the limits of the subtitling guides, display width, and the best line breaks."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from itertools import accumulate, pairwise

from transcription_dagster.errors import InvalidSetting
from transcription_dagster.language.boundaries import break_cost
from transcription_dagster.model import Word
from transcription_dagster.transcripts.plain_text import join_words

#: Marks each turn in a cue that two speakers share.
DASH = "- "


@dataclass(frozen=True, slots=True)
class CaptionLimits:
    """Limits on captions. The defaults are Netflix's for adult programmes in English."""

    max_lines: int = 2
    #: Columns per line; a wide (East Asian) character takes two.
    max_line_characters: int = 42
    min_seconds: float = 5 / 6
    max_seconds: float = 7.0
    characters_per_second: float = 20.0
    gap_frames: int = 2
    frame_rate: float = 24.0
    #: Shorter gaps between cues are reduced to `gap_frames`.
    close_gap_seconds: float = 0.5
    #: Seconds that a cue may stay after its last word if it would be too short or too fast to read (BBC).
    linger_seconds: float = 1.5
    #: Seconds of silence that no cue spans.
    max_pause_seconds: float = 2.5

    def __post_init__(self) -> None:
        """Raise `InvalidSetting` for limits that no caption can meet."""
        for field in fields(self):
            value = getattr(self, field.name)
            kinds = int if isinstance(field.default, int) else int | float
            if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
                raise InvalidSetting(
                    f"a caption's {field.name} must be a number such as {field.default}, not {value!r}"
                )
        for name in ("max_lines", "max_line_characters", "characters_per_second", "frame_rate", "max_pause_seconds"):
            if getattr(self, name) <= 0:
                raise InvalidSetting(f"a caption's {name} must be greater than 0, not {getattr(self, name)}")
        if not 0 < self.min_seconds <= self.max_seconds:
            raise InvalidSetting(f"a caption cannot last {self.min_seconds} to {self.max_seconds} seconds")
        if min(self.gap_frames, self.close_gap_seconds, self.linger_seconds) < 0:
            raise InvalidSetting("a caption's gap and linger cannot be negative")

    @property
    def gap_ms(self) -> int:
        return math.ceil(self.gap_frames * 1000 / self.frame_rate)


#: Cost of a line that differs from the even width by a whole line's width. It grows with the square, so a good break
#: may leave somewhat uneven lines, but no lone word.
_IMBALANCE = 12.0
#: Cost of a longer upper line: the pyramid shape hides less of the picture (Netflix).
_TOP_HEAVY = 1.0
#: Cost of each excess column: more than any break, so that only a word wider than the line exceeds it.
_TOO_WIDE = 1000.0


@lru_cache(maxsize=65536)
def display_width(text: str) -> int:
    """Return the columns that a text takes: 2 per wide (East Asian, emoji) character, 0 per combining mark."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def break_lines(words: Sequence[Word], max_lines: int, max_characters: int) -> tuple[str, ...]:
    """Lay the words out in as few lines as possible, with the best breaks and even widths.

    No word is cut. A word wider than a line gets its own, too wide line; if the words do not fit into `max_lines`, the
    lines become too wide, never too many.
    """
    stops = line_stops(words, max_lines, max_characters)
    return tuple(join_words(words[start:stop]) for start, stop in pairwise([0, *stops]))


def line_stops(words: Sequence[Word], max_lines: int, max_characters: int) -> list[int]:
    """Return where each line of `break_lines` ends."""
    if not words:
        return []
    layout = _Layout(words, max_characters)
    return layout.best_stops(min(max_lines, layout.fewest_lines()))


class _Layout:
    """Searches for the best lines for the words of one cue."""

    def __init__(self, words: Sequence[Word], limit: int) -> None:
        self._words = words
        self._limit = limit
        self._spaces = [0 if word.glued else 1 for word in words]
        widths = (display_width(word.text) + space for word, space in zip(words, self._spaces, strict=True))
        self._offsets = [0, *accumulate(widths)]

    def fewest_lines(self) -> int:
        """Return the minimum number of lines, which greedy filling achieves."""
        lines, start = 1, 0
        for stop in range(1, len(self._words) + 1):
            if stop - start > 1 and self._width(start, stop) > self._limit:
                lines, start = lines + 1, stop - 1
        return lines

    def best_stops(self, lines: int) -> list[int]:
        """Return where each of `lines` lines ends at the lowest cost; fewer lines if there are fewer words."""
        count = len(self._words)
        if lines == 1:
            return [count]
        breaks = [break_cost(before, after) for before, after in pairwise(self._words)]
        even = self._width(0, count) / lines

        @cache
        def best(start: int, left: int) -> tuple[float, tuple[int, ...]]:
            if left == 1 or count - start == 1:
                return self._line_cost(start, count, even), (count,)
            return min(beginnings(start, left))

        def beginnings(start: int, left: int) -> Iterator[tuple[float, tuple[int, ...]]]:
            for stop in range(start + 1, count):
                rest, stops = best(stop, left - 1)
                cost = self._line_cost(start, stop, even) + breaks[stop - 1] + rest
                top_heavy = self._width(start, stop) > self._width(stop, stops[0])
                yield cost + _TOP_HEAVY * top_heavy, (stop, *stops)

        return list(best(0, lines)[1])

    def _width(self, start: int, stop: int) -> int:
        return self._offsets[stop] - self._offsets[start] - self._spaces[start]

    def _line_cost(self, start: int, stop: int, even: float) -> float:
        width = self._width(start, stop)
        return _TOO_WIDE * max(0, width - self._limit) + _IMBALANCE * ((width - even) / self._limit) ** 2
