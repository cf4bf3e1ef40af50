"""Spans of time and operations on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of time in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def holds(self, moment: float) -> bool:
        return self.start <= moment <= self.end

    def overlap_seconds(self, other: Span) -> float:
        """Return the seconds that both have in common."""
        return max(0.0, min(self.end, other.end) - max(self.start, other.start))

    def widened(self, seconds: float, *, limit: float) -> Span:
        """Return the span with this many seconds more on both sides, within 0 and `limit`."""
        return Span(max(0.0, self.start - seconds), min(limit, self.end + seconds))


def common(span: Span, others: Sequence[Span]) -> tuple[Span, ...]:
    """Return the parts of `span` inside `others`, which are disjoint and in order."""
    parts = (Span(max(span.start, other.start), min(span.end, other.end)) for other in others)
    return tuple(part for part in parts if part.seconds > 0)


def merged(spans: Sequence[Span], gap: float) -> tuple[Span, ...]:
    """Return ordered spans, joining those less than `gap` seconds apart."""
    joined: list[Span] = []
    for span in spans:
        if joined and span.start - joined[-1].end < gap:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return tuple(joined)


def without(span: Span, others: Sequence[Span]) -> tuple[Span, ...]:
    """Return the parts of `span` outside `others`, which are in order."""
    parts = []
    start = span.start
    for other in others:
        if other.end <= start or other.start >= span.end:
            continue
        if other.start > start:
            parts.append(Span(start, other.start))
        start = other.end
    if start < span.end:
        parts.append(Span(start, span.end))
    return tuple(parts)
