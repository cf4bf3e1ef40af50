"""Word times snapped to speech."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.model import Word
from transcription_dagster.whisper.repair.word_edges import with_snapped_edges
from transcription_dagster.whisper.spans import Span
from transcription_dagster.whisper.voice_activity import FLOOR_DBFS, FRAME_SECONDS, Levels
from transcription_dagster_tests.whisper.helpers import sounding, utterance_of

#: Tolerance of a time that is measured in frames.
NEAR = FRAME_SECONDS


def snapped(words: list[tuple[float, float]], voice: list[Span], loud: list[Span] | None = None, seconds: float = 20):
    row = tuple(Word("word", start, end) for start, end in words)
    utterance = utterance_of("word", row[0].start, row[-1].end)
    utterance = type(utterance)(**{**{n: getattr(utterance, n) for n in utterance.__slots__}, "words": row})
    (edged,) = with_snapped_edges([utterance], sounding(seconds, voice=voice, loud=loud))
    assert (edged.start, edged.end) == (edged.words[0].start, edged.words[-1].end)
    return [(word.start, word.end) for word in edged.words]


@pytest.mark.parametrize(
    ("words", "voice", "expected"),
    [
        ([(0.0, 1.8)], [Span(1, 2)], [(1, 2)]),
        ([(1.2, 4)], [Span(1, 2)], [(1.2, 2)]),
        ([(1, 1.5), (1.5, 1.9), (5, 6)], [Span(1, 2)], [(1, 1.5), (1.5, 2), (5, 6)]),
        ([(1, 1.3), (1.9, 2.2)], [Span(1, 2.2)], [(1, 1.3), (1.9, 2.2)]),
        ([(1, 1.3)], [Span(1, 2.4)], [(1, 1.3)]),
        ([(1, 1.8), (1.8, 4.5)], [Span(1, 2), Span(4, 6)], [(1, 2), (4, 4.5)]),
        ([(1, 4.1), (4.1, 5)], [Span(1, 2), Span(4, 6)], [(1, 2), (4.1, 5)]),
        ([(1, 5)], [Span(1, 2), Span(4, 6)], [(1, 5)]),
        ([(8, 9)], [Span(1, 2)], [(8, 9)]),
        ([(1, 2)], [Span(1, 1.4), Span(1.6, 2)], [(1, 2)]),
        ([(19, 25)], [Span(19, 19.6)], [(19, 19.6)]),
        ([(19.5, 25)], [Span(1, 2)], [(19.5, 20)]),
    ],
    ids=[
        "starts in silence",
        "ends in silence",
        "ends before its voice does",
        "is not the last one of its voice",
        "ends long before its voice does",
        "begins with a scrap before a pause",
        "ends with a scrap after a pause",
        "speaks on both sides of a pause",
        "lies in silence",
        "has a closure in it",
        "ends after the recording",
        "ends after the recording, in silence",
    ],
)
def test_a_word_begins_and_ends_with_a_voice(words, voice, expected):
    for actual, expected_word in zip(snapped(words, voice), expected, strict=True):
        assert actual == pytest.approx(expected_word, abs=NEAR)


def test_initial_hiss_belongs_to_its_word():
    ((start, end),) = snapped([(0, 2)], [Span(1, 2)], loud=[Span(0.9, 2)])
    assert (start, end) == (pytest.approx(0.9, abs=NEAR), pytest.approx(2, abs=NEAR))
    ((start, _),) = snapped([(0, 2)], [Span(1, 2)], loud=[Span(0, 2)])
    assert start == pytest.approx(0.84, abs=NEAR)


def test_the_room_around_a_voice_does_not_belong_to_its_words_where_pauses_are_digital_silence():
    sound = sounding(20, voice=[Span(1, 2)])
    frames = np.full_like(sound.levels.frames, FLOOR_DBFS)
    moments = np.arange(frames.size) * FRAME_SECONDS
    frames[(moments >= 0.8) & (moments < 2.2)] = -65.0
    frames[(moments >= 1) & (moments < 2)] = -20.0
    gated = replace(sound, levels=Levels(frames, FLOOR_DBFS))
    (edged,) = with_snapped_edges([utterance_of("word", 0.0, 2.6)], gated)
    assert (edged.start, edged.end) == (pytest.approx(1, abs=NEAR), pytest.approx(2, abs=NEAR))


@given(
    marks=st.lists(st.floats(0, 19), min_size=2, max_size=12, unique=True).map(sorted),
    voice=st.lists(st.floats(0, 19), max_size=6).map(lambda starts: [Span(at, at + 0.7) for at in sorted(starts)]),
)
def test_no_word_moves_past_another_or_begins_before_its_own_time(marks, voice):
    words = list(pairwise(marks))
    actual = snapped(words, voice)
    for (start, _), (new_start, new_end) in zip(words, actual, strict=True):
        assert start - 0.006 <= new_start <= new_end
    for (_, end), (start, _) in pairwise(actual):
        assert end <= start + 0.012
