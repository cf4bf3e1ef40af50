"""Timed words cut into captions: the best breaks over the whole text, not the first that fit.

The limits and the order of preference follow Netflix's timed text style guide and the BBC's subtitle guidelines.
What does not fit is retimed, never reworded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from transcription_dagster.captions.limits import DASH, CaptionLimits
from transcription_dagster.captions.line_breaks import break_lines, display_width
from transcription_dagster.captions.segmentation import best_stops
from transcription_dagster.model import Cue, Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.word_timing import mend_times

__all__ = ["CaptionLimits", "make_cues"]


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
    return _timed_cues(timed, best_stops(timed, limits), limits)


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
