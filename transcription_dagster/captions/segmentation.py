"""Decide where each cue ends, searching for the best breaks over the whole text.

The cost of a cue adds up what is wrong with it: its times, its lines, and where it breaks the text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from transcription_dagster.captions.layout import DASH, CaptionLimits, display_width
from transcription_dagster.language.boundaries import break_cost, ends_sentence
from transcription_dagster.model import Word

#: Costs of exceeding a limit: more than any break, and growing with the excess. Reading speed costs per character;
#: otherwise many short cues would seem worse than a few long ones.
_TOO_SHORT, _TOO_SHORT_BY = 90.0, 90.0
_TOO_FAST, _TOO_FAST_BY = 0.5, 1.0
#: Costs of a cue on the scale of `boundaries`. Every cue costs something, or each word would get its own.
_EACH_CUE = 4.0
_SECOND_LINE_BREAK = 0.4
_SENTENCE_LEFT_OPEN = 5.0
_DIALOGUE = 4.0
_PAUSE_INSIDE_PER_SECOND = 14.0

#: Columns taken by the notes and spaces around a song's line.
_NOTES_WIDTH = 4

#: Words per vectorised step: a few megabytes, and no step holds the interpreter for long.
_WORDS_AT_ONCE = 4_096


def best_stops(words: Sequence[Word], limits: CaptionLimits, sung: Sequence[bool]) -> list[int]:
    """Return where each cue ends in the cheapest segmentation, by dynamic programming over all allowed cues.

    `sung` marks the words of songs. `words` must not be empty, and their times must increase. The number of possible
    cues is that of the words times those that fit into a cue; costs are computed for thousands of words at a time,
    which is fast and takes little memory.
    """
    measures = _Measures(words, limits, sung)
    line_stops = measures.line_stops()
    lengths = measures.cue_stops(line_stops) - np.arange(measures.count)
    line_breaks = _RangeMinimum(measures.breaks, longest=int(np.max(line_stops[:-1] - np.arange(measures.count))) + 1)
    total = [0.0] + [math.inf] * measures.count
    origin = [0] * (measures.count + 1)
    for begin in range(0, measures.count, _WORDS_AT_ONCE):
        # How many cues can start with each of the next words: one of each length.
        counts = lengths[begin : begin + _WORDS_AT_ONCE]
        edges = np.concatenate([[0], np.cumsum(counts)])
        first = np.repeat(np.arange(begin, begin + len(counts)), counts)
        stop = np.arange(edges[-1]) - edges[first - begin] + first + 1
        costs = _cue_costs(measures, line_stops, line_breaks, first, stop)
        _extend(total, origin, begin, edges.tolist(), costs.tolist())
    path = [measures.count]
    while origin[path[-1]]:
        path.append(origin[path[-1]])
    return path[::-1]


def _extend(total: list[float], origin: list[int], begin: int, edges: Sequence[int], costs: Sequence[float]) -> None:
    """Extend the cheapest segmentations by the cues that start with the words from `begin` on.

    `costs[edges[k]:edges[k + 1]]` belong to the cues that start with word `begin + k`, shortest first.
    """
    for word, (edge, next_edge) in enumerate(pairwise(edges), start=begin):
        base = total[word]
        for end, cost in enumerate(costs[edge:next_edge], start=word + 1):
            if base + cost < total[end]:
                total[end] = base + cost
                origin[end] = word


def _cue_costs(
    measures: _Measures, line_stops: np.ndarray, line_breaks: _RangeMinimum, first: np.ndarray, stop: np.ndarray
) -> np.ndarray:
    """Return the cost of each possible cue, words [`first`, `stop`)."""
    cost = _EACH_CUE + measures.breaks[stop]
    cost += _time_costs(measures, first, stop)
    cost += _line_costs(measures, line_stops, line_breaks, first, stop)
    inside = measures.pauses[stop] - measures.pauses[first + 1]
    cost += _PAUSE_INSIDE_PER_SECOND * inside
    open_sentence = (measures.sentence_before[stop] > first) & (measures.sentence_before[stop] < stop)
    cost += _SENTENCE_LEFT_OPEN * open_sentence
    return cost


def _time_costs(measures: _Measures, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Return the penalty for cues too short to read even when extended into the adjacent silence."""
    limits = measures.limits
    begin, speech_end = measures.starts[first], measures.ends[stop - 1]
    following = np.append(measures.starts, np.inf)[stop] - limits.gap_ms / 1000
    longest = np.minimum(np.minimum(speech_end + limits.linger_seconds, following) - begin, limits.max_seconds)
    longest = np.maximum(longest, 0.001)
    missing = np.maximum(0.0, 1 - longest / limits.min_seconds)
    width = measures.width(first, stop)
    excess = np.clip(width / longest / limits.characters_per_second - 1, 0.0, 2.0)
    too_short = (missing > 0) * (_TOO_SHORT + _TOO_SHORT_BY * missing)
    return too_short + (excess > 0) * width * (_TOO_FAST + _TOO_FAST_BY * excess)


def _line_costs(
    measures: _Measures, line_stops: np.ndarray, line_breaks: _RangeMinimum, first: np.ndarray, stop: np.ndarray
) -> np.ndarray:
    """Return the cost of the break inside a cue that needs two lines or that two speakers share."""
    limit = measures.limits.max_line_characters
    costs = np.zeros(len(first))
    # The earliest start of a line that ends before `stop`: the inverse of `line_stops`.
    earliest = np.searchsorted(line_stops[:-1], stop, side="left")
    two = (stop > line_stops[first]) & (earliest <= line_stops[first])
    costs[two] = _SECOND_LINE_BREAK * line_breaks.of(earliest[two], line_stops[first[two]] + 1)
    shared = measures.turns[stop] > measures.turns[first + 1]
    middle = measures.next_turn[first[shared]]
    notes = _NOTES_WIDTH * (measures.sung[stop[shared]] > measures.sung[first[shared]])
    widest = np.maximum(measures.width(first[shared], middle), measures.width(middle, stop[shared])) + notes
    fits = widest <= limit - len(DASH)
    two_lines = measures.limits.max_lines >= 2
    costs[shared] = np.where(fits & two_lines, _DIALOGUE, math.inf)
    return costs


class _Measures:
    """The words as arrays, to compute the costs of all possible cues of a long text at once."""

    def __init__(self, words: Sequence[Word], limits: CaptionLimits, sung: Sequence[bool]) -> None:
        count = len(words)
        pairs = list(pairwise(words))
        self.limits = limits
        self.count = count
        self.starts = np.array([word.start for word in words])
        self.ends = np.array([word.end for word in words])
        #: Cost of a break before word k. Index 0 is unused; the break after the last word is free.
        self.breaks = np.array([0.0, *(break_cost(before, after) for before, after in pairs), 0.0])
        sentence_ends = np.array([False, *(ends_sentence(before, after) for before, after in pairs), True])
        #: The last sentence end up to break k.
        self.sentence_before = np.maximum.accumulate(np.where(sentence_ends, np.arange(count + 1), 0))
        self._measure_width(words)
        #: Number of sung words among the first k.
        self.sung = np.concatenate([[0], np.cumsum(np.array(sung, dtype=int))])
        self._measure_turns(words)
        pauses = np.concatenate([[0.0], np.maximum(self.starts[1:] - self.ends[:-1], 0.0), [0.0]])
        #: Total noticeable pause, in seconds, before the first k words.
        self.pauses = np.concatenate([[0.0], np.cumsum(np.maximum(pauses - 0.4, 0.0))])
        self.long_pause = pauses >= limits.max_pause_seconds

    def _measure_width(self, words: Sequence[Word]) -> None:
        # At least one column each, which bounds the number of words per cue.
        widths = np.array([max(1, display_width(word.text)) for word in words])
        self.spaces = np.array([0 if word.glued else 1 for word in words])
        self.offsets = np.concatenate([[0], np.cumsum(widths + self.spaces)])

    def _measure_turns(self, words: Sequence[Word]) -> None:
        changes = np.array([False, *(a.speaker != b.speaker for a, b in pairwise(words))])
        #: Number of speaker changes before the first k words.
        self.turns = np.concatenate([[0], np.cumsum(changes)])
        #: The first word after k by a different speaker, or the number of words.
        self.next_turn = _next_true(np.append(changes, True))
        self.breaks[:-1][changes] = 0.0

    def width(self, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Return the columns of the words [`first`, `stop`) on one line."""
        return self.offsets[stop] - self.offsets[first] - self.spaces[first]

    def line_stops(self) -> np.ndarray:
        """Return, for each word, where a line that starts with it must end; at least after the word itself.

        A song's line leaves room for the notes.
        """
        room = self.offsets[:-1] + self.spaces + self.limits.max_line_characters
        least = np.arange(1, self.count + 1)
        stops = np.maximum(np.searchsorted(self.offsets, room, side="right") - 1, least)
        if self.sung[-1]:
            room -= _NOTES_WIDTH * (self.sung[stops] > self.sung[:-1])
            stops = np.maximum(np.searchsorted(self.offsets, room, side="right") - 1, least)
            # The line ends never decrease: the search for the start of a line relies on it.
            stops = np.minimum.accumulate(stops[::-1])[::-1]
        return np.append(stops, self.count)

    def cue_stops(self, line_stops: np.ndarray) -> np.ndarray:
        """Return, for each word, where a cue that starts with it must end, by lines, time, silence and turns."""
        words = np.arange(self.count)
        stops = words
        for _ in range(self.limits.max_lines):
            stops = line_stops[stops]
        by_time = np.searchsorted(self.ends, self.starts + self.limits.max_seconds, side="right")
        by_silence = _next_true(np.append(self.long_pause[: self.count], True))
        third_turn = self.next_turn[np.minimum(self.next_turn, self.count - 1)]
        return np.maximum(words + 1, np.minimum.reduce([stops, by_time, by_silence, third_turn]))


def _next_true(flags: np.ndarray) -> np.ndarray:
    """Return, for each index but the last, the next larger index whose flag is set. The last flag must be set."""
    indices = np.where(flags, np.arange(len(flags)), len(flags))
    return np.minimum.accumulate(indices[::-1])[::-1][1:]


class _RangeMinimum:
    """Minimum over many ranges at once: two overlapping powers of two cover each range (a sparse table)."""

    def __init__(self, values: np.ndarray, *, longest: int) -> None:
        """Prepare for ranges of at most `longest` values."""
        table = [values]
        for step in range(longest.bit_length() - 1):
            half = 1 << step
            table.append(np.minimum(table[-1], np.append(table[-1][half:], np.full(half, np.inf))[: len(values)]))
        self._table = np.stack(table)

    def of(self, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Return the minimum of `values[first:stop]`."""
        level = np.frexp((stop - first).astype(float))[1] - 1
        return np.minimum(self._table[level, first], self._table[level, stop - (1 << level)])
