"""Repair missing or wrong word times, so that every word ends before the next one starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transcription_dagster.language.alignment import longest_rising
from transcription_dagster.model import Word

#: Seconds per character for words without a time: about 17 characters a second.
SECONDS_PER_CHARACTER = 0.06

#: Seconds; longer than any recording, so later times are invalid.
_BEYOND = 3_600_000.0

TimeSpan = tuple[float, float]


def repair_timings(words: Sequence[Word]) -> list[Word]:
    """Return the words with increasing times that do not overlap; plausible times stay exactly as they are."""
    spans = settle_spans([(word.start, word.end) for word in words], [len(word.text) for word in words])
    return [
        word if (word.start, word.end) == span else replace(word, start=span[0], end=span[1])
        for word, span in zip(words, spans, strict=True)
    ]


def settle_spans(spans: Sequence[tuple[float | None, float | None]], lengths: Sequence[int]) -> list[TimeSpan]:
    """Return a start and an end in seconds for every word.

    `spans` holds the known times of each word, `lengths` its number of characters. Of the starts, the longest row that
    never decreases is kept; all other words are placed between their neighbours by their share of the characters, at
    most at the usual pace of speech. An end after the next start is cut to it.
    """
    starts = [_valid(start) for start, _ in spans]
    known = [(index, start) for index, start in enumerate(starts) if start is not None]
    kept = [known[place][0] for place in longest_rising([start for _, start in known])]
    placed: list[TimeSpan] = []
    position = 0
    for index in [*kept, len(spans)]:
        if index > position:
            left = placed[-1][1] if placed else None
            right = starts[index] if index < len(spans) else None
            placed += _spread(left, right, lengths[position:index])
        if index < len(spans):
            placed.append(_known_span(starts[index] or 0.0, _valid(spans[index][1]), lengths[index]))
        position = index + 1
    return _cut_overlaps(placed)


def _valid(seconds: float | None) -> float | None:
    """Return a valid time, 0 for a negative one, None for an invalid one such as infinity."""
    return max(0.0, seconds) if seconds is not None and seconds < _BEYOND else None


def _known_span(start: float, end: float | None, length: int) -> TimeSpan:
    if end is None:
        return start, round(start + length * SECONDS_PER_CHARACTER, 3)
    return start, max(start, end)


def _spread(left: float | None, right: float | None, lengths: Sequence[int]) -> list[TimeSpan]:
    """Return the spans of consecutive words between the times `left` and `right`, either of which may be unknown."""
    ideal = sum(lengths) * SECONDS_PER_CHARACTER
    if left is None:
        left = 0.0 if right is None else max(0.0, right - ideal)
    room = ideal if right is None else min(ideal, max(0.0, right - left))
    scale = room / sum(lengths) if sum(lengths) else 0.0
    spans: list[TimeSpan] = []
    characters = 0
    for length in lengths:
        spans.append((round(left + characters * scale, 3), round(left + (characters + length) * scale, 3)))
        characters += length
    return spans


def _cut_overlaps(spans: list[TimeSpan]) -> list[TimeSpan]:
    """Cut each span at the start of the next one."""
    cut: list[TimeSpan] = []
    limit = float("inf")
    for start, end in reversed(spans):
        # Rounding to the millisecond may move a placed word just past its measured neighbour.
        start = min(start, limit)
        cut.append((start, min(end, limit)))
        limit = start
    return cut[::-1]
