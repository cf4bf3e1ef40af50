"""Decoded segments as values."""

from __future__ import annotations

import pytest

from transcription_dagster.model import RemovedSpeech
from transcription_dagster.whisper.decoding.requests import Decoded
from transcription_dagster.whisper.decoding.segments import DecodedSegment, TimedWord
from transcription_dagster.whisper.utterances import shifted, tail_of_text, utterances, words_and_segments
from transcription_dagster_tests.whisper.helpers import utterance_of


def segment(*words: str, window: int = 0) -> DecodedSegment:
    return DecodedSegment(
        start=1.0,
        end=2.0,
        text="".join(words),
        tokens=(),
        language="cy",
        window=window,
        decoded=Decoded(
            tokens=(),
            average_log_probability=-0.1,
            no_speech_probability=0.2,
            compression_ratio=1.1,
            temperature=0.0,
        ),
        words=tuple(TimedWord(word, float(n), n + 0.5, 0.9) for n, word in enumerate(words)),
    )


@pytest.mark.parametrize(
    ("words", "texts", "glued"),
    [
        ([" Twenty", "-five", " boats."], ["Twenty", "-five", "boats."], [False, True, False]),
        (["今日", "は"], ["今日", "は"], [True, True]),
        ([" one", " ", ""], ["one"], [False]),
    ],
)
def test_a_word_without_a_space_before_it_is_glued(words, texts, glued):
    [utterance] = utterances([segment(*words)])
    assert [word.text for word in utterance.words] == texts
    assert [word.glued for word in utterance.words] == glued
    assert {word.language for word in utterance.words} == {"cy"}


def test_a_segment_without_words_is_left_out():
    assert [
        utterance.window
        for utterance in utterances([segment(window=0), segment(" a", window=300), segment(" ", window=500)])
    ] == [3.0]


def test_words_are_numbered_across_utterances():
    words, segments = words_and_segments([utterance_of("one two", 0, 1), utterance_of("three", 2, 3)])
    assert [word.text for word in words] == ["one", "two", "three"]
    assert [(numbered.first, numbered.stop, numbered.start) for numbered in segments] == [(0, 2, 0), (2, 3, 2)]
    assert segments[0].compression_ratio == 1.2


def test_shifting_by_zero_keeps_times_exactly():
    utterance = utterance_of("one", 0.1 + 0.2, 31.740000000000002)
    assert utterance.shifted(0) is utterance
    moved = utterance.shifted(1200.5)
    assert (moved.start, moved.end, moved.window) == (1200.8, 1232.24, 1200.5)
    assert (moved.words[0].start, moved.words[0].end) == (1200.8, 1232.24)


def test_removed_text_is_shifted_too():
    assert shifted(RemovedSpeech(1, 2, "x", "y"), 10) == RemovedSpeech(11, 12, "x", "y")


def test_the_tail_of_a_text_is_its_last_words():
    spoken = [utterance_of(f"word{number}", number, number + 1) for number in range(400)]
    tail = tail_of_text(spoken).split()
    assert tail[-1] == "word399"
    assert len(tail) == 223
