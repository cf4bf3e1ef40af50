"""Timed words cut into captions: the best breaks over the whole text, not the first that fit.

The limits and the order of preference follow Netflix's timed text style guide and the BBC's subtitle guidelines.
What does not fit is retimed, never reworded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from transcription_dagster.errors import InvalidSetting
from transcription_dagster.model import Cue, Word
from transcription_dagster.text.boundaries import break_cost, ends_sentence
from transcription_dagster.text.line_breaks import break_lines, display_width
from transcription_dagster.text.plain import join_words
from transcription_dagster.text.word_times import mend_times

#: What marks a speaker's turn where two share a cue.
DASH = "- "

#: The costs of a cue, on the scale of `boundaries`. Every cue costs something, or each word would have its own.
_EACH_CUE = 7.0
_TOO_SHORT = 60.0
_TOO_FAST = 30.0
_SECOND_LINE_BREAK = 0.6
_SENTENCE_LEFT_OPEN = 5.0
_DIALOGUE = 4.0
_PAUSE_INSIDE_PER_SECOND = 14.0


@dataclass(frozen=True, slots=True)
class CaptionLimits:
    """What a caption may be. The defaults are Netflix's for adult programmes in English."""

    max_lines: int = 2
    #: Columns in a line; a wide (East Asian) character takes two.
    max_line_characters: int = 42
    min_seconds: float = 5 / 6
    max_seconds: float = 7.0
    characters_per_second: float = 20.0
    gap_frames: int = 2
    frame_rate: float = 24.0
    #: A shorter gap between two cues is closed to `gap_frames`.
    close_gap_seconds: float = 0.5
    #: How long a cue may stay after its last word, where it would else be too short or too fast to read (BBC).
    linger_seconds: float = 1.5
    #: No cue goes on over a silence this long.
    max_pause_seconds: float = 2.5

    def __post_init__(self) -> None:
        """Raise `InvalidSetting` for limits that no caption can keep."""
        for name in ("max_lines", "max_line_characters", "characters_per_second", "frame_rate", "max_pause_seconds"):
            if getattr(self, name) <= 0:
                raise InvalidSetting(f"a caption's {name} has to be more than 0, not {getattr(self, name)}")
        if not 0 < self.min_seconds <= self.max_seconds:
            raise InvalidSetting(f"a caption cannot last {self.min_seconds} to {self.max_seconds} seconds")
        if min(self.gap_frames, self.close_gap_seconds, self.linger_seconds) < 0:
            raise InvalidSetting("a caption's gap and linger cannot be negative")

    @property
    def gap_ms(self) -> int:
        return math.ceil(self.gap_frames * 1000 / self.frame_rate)


def make_cues(words: Sequence[Word], limits: CaptionLimits | None = None) -> list[Cue]:
    """Cut the words into cues, every word in exactly one, in order.

    A cue starts with its first word and ends with its last, or later if it would be too short or too fast to read
    and the next leaves room. Cues never overlap. A word wider than a line is not cut. Two speakers share a cue only
    as two short turns, each on its line after a dash. Words with impossible times are moved between their neighbours.
    """
    limits = limits or CaptionLimits()
    timed = mend_times(words)
    if not timed:
        return []
    breaks = _best_breaks(_Measures(timed, limits))
    return _timed_cues(timed, breaks, limits)


class _Measures:
    """The words as arrays, so that all possible cues of a long text can be judged at once."""

    def __init__(self, words: Sequence[Word], limits: CaptionLimits) -> None:
        count = len(words)
        pairs = list(pairwise(words))
        self.limits = limits
        self.count = count
        self.starts = np.array([word.start for word in words])
        self.ends = np.array([word.end for word in words])
        #: Index k: a break before word k. There is none before the first; the one after the last is free.
        self.breaks = np.array([0.0, *(break_cost(before, after) for before, after in pairs), 0.0])
        sentence_ends = np.array([False, *(ends_sentence(before, after) for before, after in pairs), True])
        #: The last break up to k that ends a sentence.
        self.sentence_before = np.maximum.accumulate(np.where(sentence_ends, np.arange(count + 1), 0))
        self._measure_width(words)
        self._measure_turns(words)
        pauses = np.concatenate([[0.0], np.maximum(self.starts[1:] - self.ends[:-1], 0.0), [0.0]])
        #: Seconds of pauses before words 0..k-1 beyond what goes unnoticed.
        self.pauses = np.concatenate([[0.0], np.cumsum(np.maximum(pauses - 0.4, 0.0))])
        self.long_pause = pauses >= limits.max_pause_seconds

    def _measure_width(self, words: Sequence[Word]) -> None:
        # At least one column each, so that a cue holds a bounded number of words whatever they are.
        widths = np.array([max(1, display_width(word.text)) for word in words])
        self.spaces = np.array([0 if word.glued else 1 for word in words])
        self.offsets = np.concatenate([[0], np.cumsum(widths + self.spaces)])

    def _measure_turns(self, words: Sequence[Word]) -> None:
        changes = np.array([False, *(a.speaker != b.speaker for a, b in pairwise(words))])
        #: Changes of speaker before words 0..k-1.
        self.turns = np.concatenate([[0], np.cumsum(changes)])
        #: The first word after k that another speaker says; the number of words if none does.
        self.next_turn = _next_true(np.append(changes, True))
        self.breaks[:-1][changes] = 0.0

    def width(self, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Columns of the words `first` up to `stop`, in one line."""
        return self.offsets[stop] - self.offsets[first] - self.spaces[first]

    def line_stops(self) -> np.ndarray:
        """For each word, where a line that begins with it has to stop; at least after the word itself."""
        room = self.offsets[:-1] + self.spaces + self.limits.max_line_characters
        stops = np.searchsorted(self.offsets, room, side="right") - 1
        return np.append(np.maximum(stops, np.arange(1, self.count + 1)), self.count)

    def cue_stops(self, line_stops: np.ndarray) -> np.ndarray:
        """For each word, where a cue that begins with it has to stop: lines, time, silence and turns."""
        words = np.arange(self.count)
        stops = words
        for _ in range(self.limits.max_lines):
            stops = line_stops[stops]
        by_time = np.searchsorted(self.ends, self.starts + self.limits.max_seconds, side="right")
        by_silence = _next_true(np.append(self.long_pause[: self.count], True))
        second_turn = self.next_turn[np.minimum(self.next_turn, self.count - 1)]
        third_turn = np.where(self.next_turn < self.count, second_turn, self.count)
        return np.maximum(words + 1, np.minimum.reduce([stops, by_time, by_silence, third_turn]))


def _next_true(flags: np.ndarray) -> np.ndarray:
    """For each index but the last, the next larger index whose flag is set. The last flag is set."""
    indices = np.where(flags, np.arange(len(flags)), len(flags))
    return np.minimum.accumulate(indices[::-1])[::-1][1:]


def _best_breaks(measures: _Measures) -> list[int]:
    """The stops of the cheapest cues: dynamic programming over all cues that the limits allow."""
    line_stops = measures.line_stops()
    stops = measures.cue_stops(line_stops)
    lengths = stops - np.arange(measures.count)
    begins = np.concatenate([[0], np.cumsum(lengths)])
    first = np.repeat(np.arange(measures.count), lengths)
    stop = np.arange(begins[-1]) - begins[first] + first + 1
    costs = _cue_costs(measures, line_stops, first, stop).tolist()
    edges = begins.tolist()
    total = [0.0] + [math.inf] * measures.count
    origin = [0] * (measures.count + 1)
    for begin in range(measures.count):
        base = total[begin]
        for end, cost in enumerate(costs[edges[begin] : edges[begin + 1]], start=begin + 1):
            if base + cost < total[end]:
                total[end] = base + cost
                origin[end] = begin
    path = [measures.count]
    while origin[path[-1]]:
        path.append(origin[path[-1]])
    return path[::-1]


def _cue_costs(measures: _Measures, line_stops: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """What each possible cue, words `first` up to `stop`, costs."""
    cost = _EACH_CUE + measures.breaks[stop]
    cost += _time_costs(measures, first, stop)
    cost += _line_costs(measures, line_stops, first, stop)
    inside = measures.pauses[stop] - measures.pauses[first + 1]
    cost += _PAUSE_INSIDE_PER_SECOND * inside
    open_sentence = (measures.sentence_before[stop] > first) & (measures.sentence_before[stop] < stop)
    cost += _SENTENCE_LEFT_OPEN * open_sentence
    return cost


def _time_costs(measures: _Measures, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """What too short a time costs, after the cue was given all the time that its surroundings leave."""
    limits = measures.limits
    begin, speech_end = measures.starts[first], measures.ends[stop - 1]
    following = np.append(measures.starts, np.inf)[stop] - limits.gap_ms / 1000
    longest = np.minimum(np.minimum(speech_end + limits.linger_seconds, following) - begin, limits.max_seconds)
    longest = np.maximum(longest, 0.001)
    too_short = np.maximum(0.0, 1 - longest / limits.min_seconds)
    speed = measures.width(first, stop) / longest / limits.characters_per_second
    return _TOO_SHORT * too_short + _TOO_FAST * np.minimum(np.maximum(0.0, speed - 1), 2.0)


def _line_costs(measures: _Measures, line_stops: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """What the break inside a cue costs that needs two lines, or that two speakers share."""
    limit = measures.limits.max_line_characters
    costs = np.zeros(len(first))
    # Where a line that ends before `stop` may begin at the earliest: the inverse of `line_stops`.
    earliest = np.searchsorted(line_stops[:-1], stop, side="left")
    two = (stop > line_stops[first]) & (earliest <= line_stops[first])
    costs[two] = _SECOND_LINE_BREAK * _range_minimum(measures.breaks, earliest[two], line_stops[first[two]] + 1)
    shared = measures.turns[stop] > measures.turns[first + 1]
    middle = measures.next_turn[first[shared]]
    fits = np.maximum(measures.width(first[shared], middle), measures.width(middle, stop[shared])) <= limit - len(DASH)
    two_lines = measures.limits.max_lines >= 2
    costs[shared] = np.where(fits & two_lines, _DIALOGUE, math.inf)
    return costs


def _range_minimum(values: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """The smallest of `values[first:stop]` for many ranges at once: two overlapping powers of two cover each."""
    if not len(first):
        return np.zeros(0)
    level = np.frexp((stop - first).astype(float))[1] - 1
    table = [values]
    for step in range(level.max()):
        half = 1 << step
        table.append(np.minimum(table[-1], np.append(table[-1][half:], np.full(half, np.inf))[: len(values)]))
    stacked = np.stack(table)
    return np.minimum(stacked[level, first], stacked[level, stop - (1 << level)])


def _timed_cues(words: Sequence[Word], stops: Sequence[int], limits: CaptionLimits) -> list[Cue]:
    firsts = [0, *stops[:-1]]
    starts = _start_times(words, firsts, limits)
    cues = []
    for number, (first, stop) in enumerate(zip(firsts, stops, strict=True)):
        lines = _cue_lines(words[first:stop], limits)
        following = starts[number + 1] if number + 1 < len(starts) else None
        end = _end_time(starts[number], round(words[stop - 1].end * 1000), following, lines, limits)
        cues.append(Cue(starts[number], end, lines, first, stop))
    return cues


def _start_times(words: Sequence[Word], firsts: Sequence[int], limits: CaptionLimits) -> list[int]:
    """When each cue starts, in milliseconds: with its first word, unless no time at all is left to the one before."""
    starts: list[int] = []
    for first in firsts:
        start = round(words[first].start * 1000)
        starts.append(max(start, starts[-1] + 2 * limits.gap_ms) if starts else start)
    return starts


def _end_time(start: int, speech_end: int, following: int | None, lines: Sequence[str], limits: CaptionLimits) -> int:
    characters = sum(display_width(line) for line in lines) + len(lines) - 1
    readable = start + math.ceil(1000 * max(limits.min_seconds, characters / limits.characters_per_second))
    end = max(speech_end, min(readable, speech_end + round(limits.linger_seconds * 1000)), start + 1)
    latest = start + round(limits.max_seconds * 1000)
    if following is None:
        return min(end, latest)
    if following - end < limits.close_gap_seconds * 1000:
        end = following - limits.gap_ms
    return min(end, latest)


def _cue_lines(words: Sequence[Word], limits: CaptionLimits) -> tuple[str, ...]:
    turn = next((index for index, word in enumerate(words) if word.speaker != words[0].speaker), None)
    if turn is None:
        return break_lines(words, limits.max_lines, limits.max_line_characters)
    return DASH + join_words(words[:turn]), DASH + join_words(words[turn:])
