"""Cut timed words into captions: their texts and times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from transcription_dagster.captions.layout import DASH, CaptionLimits, break_lines, display_width
from transcription_dagster.captions.segmentation import best_stops
from transcription_dagster.captions.songs import SungWords, join_marks
from transcription_dagster.model import Cue, Word
from transcription_dagster.transcripts.conversation import in_turns, shown_speaker
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.turn_order import spread_turns
from transcription_dagster.transcripts.word_timing import repair_timings


def make_cues(
    words: Sequence[Word], limits: CaptionLimits | None = None, *, duration: float | None = None
) -> list[Cue]:
    """Cut the words into cues: every word in exactly one cue, in order.

    `duration` is the recording's length in seconds, which no cue exceeds; None or 0 if it is unknown.

    A cue lasts from its first word to its last, or longer if it would be too short or too fast to read and there is
    room. Cues never overlap. A word wider than a line is not cut. Two speakers share a cue only as two short turns,
    each on its own line after a dash. Words with impossible times are moved between their neighbours.
    """
    limits = limits or CaptionLimits()
    timed = repair_timings(spread_turns(in_turns(words)))
    if not timed:
        return []
    sung = join_marks(timed)
    stops = best_stops(sung.words, limits, sung.sung())
    return _timed_cues(sung, stops, limits, _last_moment(timed, duration))


def _last_moment(words: Sequence[Word], duration: float | None) -> int | None:
    """Return the recording's end in milliseconds, at least just after the start of the last word; None if unknown."""
    return max(math.floor(duration * 1000), round(words[-1].start * 1000) + 1) if duration else None


def _timed_cues(sung: SungWords, stops: Sequence[int], limits: CaptionLimits, last_moment: int | None) -> list[Cue]:
    firsts = [0, *stops[:-1]]
    words = sung.words
    starts = _start_times(words, firsts, limits, last_moment)
    cues = []
    for number, (first, stop) in enumerate(zip(firsts, stops, strict=True)):
        lines = _cue_lines(sung, first, stop, limits)
        following = starts[number + 1] if number + 1 < len(starts) else None
        end = _end_time(starts[number], round(words[stop - 1].end * 1000), following, lines, limits)
        end = end if last_moment is None else max(min(end, last_moment), starts[number] + 1)
        speakers = _speakers(words[first:stop])
        cues.append(Cue(starts[number], end, lines, sung.edges[first], sung.edges[stop], speakers))
    return cues


def _start_times(
    words: Sequence[Word], firsts: Sequence[int], limits: CaptionLimits, last_moment: int | None
) -> list[int]:
    """Return when each cue starts, in milliseconds: with its first word, unless that leaves no time to the cue before.

    Cues crowded at the recording's end start earlier, so that each has some time inside the recording.
    """
    starts: list[int] = []
    for first in firsts:
        start = round(words[first].start * 1000)
        starts.append(max(start, starts[-1] + 2 * limits.gap_ms) if starts else start)
    if last_moment is not None:
        latest = last_moment
        gap = min(limits.gap_ms, max(0, last_moment // len(starts) - 1))
        for number in reversed(range(len(starts))):
            starts[number] = max(0, min(starts[number], latest - 1))
            latest = starts[number] - gap
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


def _speakers(words: Sequence[Word]) -> tuple[str, ...]:
    """Return the speakers of a cue's turns as people read them."""
    return tuple(shown_speaker(speaker) for speaker, _ in groupby(words, key=lambda word: word.speaker) if speaker)


def _cue_lines(sung: SungWords, first: int, stop: int, limits: CaptionLimits) -> tuple[str, ...]:
    words = sung.words
    turn = next((index for index in range(first, stop) if words[index].speaker != words[first].speaker), None)
    if turn is None:
        return break_lines(sung.shown(first, stop), limits.max_lines, limits.max_line_characters)
    return DASH + join_words(sung.shown(first, turn)), DASH + join_words(sung.shown(turn, stop))
