"""Operations on spans of time."""

from __future__ import annotations

import pytest

from transcription_dagster.whisper.spans import Span, common, merged


@pytest.mark.parametrize(
    ("span", "spans", "expected"),
    [
        (Span(0, 10), [], []),
        (Span(0, 10), [Span(2, 3), Span(5, 6)], [Span(2, 3), Span(5, 6)]),
        (Span(2.5, 5.5), [Span(2, 3), Span(5, 6)], [Span(2.5, 3), Span(5, 5.5)]),
        (Span(3, 5), [Span(2, 3), Span(5, 6)], []),
        (Span(5, 3), [Span(0, 9)], []),
    ],
)
def test_the_intersection_of_spans(span, spans, expected):
    assert list(common(span, spans)) == expected


@pytest.mark.parametrize(
    ("spans", "gap", "expected"),
    [
        ([], 1, []),
        ([Span(0, 1), Span(1.5, 2)], 1, [Span(0, 2)]),
        ([Span(0, 1), Span(2, 3)], 1, [Span(0, 1), Span(2, 3)]),
        ([Span(0, 5), Span(1, 2), Span(5.5, 6)], 1, [Span(0, 6)]),
    ],
)
def test_close_spans_are_joined(spans, gap, expected):
    assert list(merged(spans, gap)) == expected
