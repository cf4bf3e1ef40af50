"""Lost speech: which speech is transcribed again, which words are added, and which gaps remain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.model import Gap, RemovedSpeech
from transcription_dagster.whisper.repair.lost_speech import interleaved, speech_without_words, with_lost_speech
from transcription_dagster.whisper.spans import Span
from transcription_dagster.whisper.utterances import Utterance
from transcription_dagster_tests.whisper.helpers import sounding, utterance_of
from transcription_dagster_tests.whisper.repair.test_hallucinations import texts

FIRST, LAST = utterance_of("good evening", 0, 1), utterance_of("and good night", 8, 9.5)
#: There is speech between the two words.
TALK = sounding(10, voice=[Span(0, 1), Span(3, 6), Span(8, 9.5)])


class SecondPass:
    """A fake second pass."""

    def __init__(self, *utterances: Utterance, breath: Sequence[Utterance] = ()) -> None:
        self.utterances = list(utterances)
        self.breath = list(breath)
        #: The spans of each call.
        self.clips: list[list[Span]] = []

    def __call__(self, clips: Sequence[Span]) -> list[Utterance]:
        self.clips.append(list(clips))
        return self.utterances if len(self.clips) == 1 else self.breath


def test_speech_covered_with_words_is_not_transcribed_again():
    second_pass = SecondPass()
    utterances = [FIRST, utterance_of("the bus leaves at nine", 3, 6), LAST]
    assert with_lost_speech(utterances, TALK, second_pass) == (utterances, [])
    assert second_pass.clips == []


def test_speech_without_words_is_transcribed_again_and_inserted_in_place():
    second_pass = SecondPass(utterance_of("the bus leaves at nine", 3, 6))
    utterances, gaps = with_lost_speech([FIRST, LAST], TALK, second_pass)
    assert texts(utterances) == ["good evening", "the bus leaves at nine", "and good night"]
    assert gaps == []
    assert second_pass.clips == [[Span(2.7, 6.3)]]


def test_words_squeezed_next_to_the_speech_are_not_added_twice():
    crowded = utterance_of("the bus leaves at nine", 7.9, 8.0)
    utterances, gaps = with_lost_speech(
        [FIRST, crowded, LAST], TALK, SecondPass(utterance_of("the bus leaves at ten", 3, 6))
    )
    assert texts(utterances) == ["good evening", "the bus leaves at nine", "and good night"]
    assert gaps == [Gap(3.0, 6.0)]


def test_words_repeated_at_normal_pace_are_added():
    before = utterance_of("the bus leaves at nine", 0, 1)
    utterances, _ = with_lost_speech([before, LAST], TALK, SecondPass(utterance_of("the bus leaves at nine", 3, 6)))
    assert texts(utterances) == ["the bus leaves at nine", "the bus leaves at nine", "and good night"]


@pytest.mark.parametrize(
    "reheard",
    [
        [],
        [replace(utterance_of("the bus leaves at nine", 3, 6), no_speech_probability=0.9)],
        [replace(utterance_of("the bus leaves at nine", 3, 6), average_log_probability=-1.4)],
        [utterance_of("thank you for listening " * 5, 3, 6)],
        [utterance_of("the bus", 6.6, 7.4)],
        [utterance_of("the bus leaves at nine", 3, 3.1)],
        [utterance_of("the bus", 4, 4)],
    ],
    ids=["nothing", "silence", "improbable", "a loop", "elsewhere", "little time", "no time"],
)
def test_doubtful_words_are_not_added_and_the_gap_is_marked(reheard):
    utterances, gaps = with_lost_speech([FIRST, LAST], TALK, SecondPass(*reheard))
    assert utterances == [FIRST, LAST]
    assert gaps == [Gap(3, 6)]


def test_remaining_speech_is_transcribed_breath_by_breath():
    breaths = [Span(3, 3.6), Span(4, 4.6), Span(5, 5.6), Span(6, 6.6), Span(7, 7.5)]
    second_pass = SecondPass(breath=[utterance_of("go", 3, 3.6), utterance_of("go", 5, 5.6)])
    utterances, gaps = with_lost_speech([FIRST], sounding(10, voice=[Span(0, 1), *breaths]), second_pass)
    assert second_pass.clips == [[Span(2.7, 7.8)], [Span(3, 4.8), Span(4.8, 6.8), Span(6.8, 7.5)]]
    assert texts(utterances) == ["good evening", "go", "go"]
    assert gaps == [Gap(6, 7.5)]


def test_an_immediately_repeated_word_is_added_again():
    voice = [Span(at, at + 0.6) for at in (3, 3.9, 4.8, 5.7, 6.6)]
    second_pass = SecondPass(
        breath=[
            utterance_of("go", 3, 3.6),
            utterance_of("go", 3.9, 4.5),
            utterance_of("go", 4.8, 5.4),
            utterance_of("go", 5.7, 6.3),
        ]
    )
    utterances, _ = with_lost_speech([FIRST], sounding(10, voice=[Span(0, 1), *voice]), second_pass)
    assert texts(utterances) == ["good evening", "go", "go", "go", "go"]


def test_more_speech_without_words_is_transcribed_in_longer_parts():
    second_pass = SecondPass()
    with_lost_speech([], sounding(200, voice=[Span(at, at + 0.7) for at in range(200)]), second_pass)
    (_, parts) = second_pass.clips
    assert len(parts) <= 25
    assert (parts[0].start, parts[-1].end) == (0, 199.7)


def test_a_single_breath_is_not_transcribed_a_third_time():
    second_pass = SecondPass()
    with_lost_speech([FIRST, LAST], TALK, second_pass)
    assert len(second_pass.clips) == 1


def test_words_of_the_first_pass_are_not_added_twice():
    second_pass = SecondPass(utterance_of("evening the bus leaves at nine and", 2.6, 8.3))
    utterances, _ = with_lost_speech(
        [utterance_of("good evening", 0, 2.9), utterance_of("and good night", 7, 9.5)], TALK, second_pass
    )
    assert " ".join(texts(utterances)).split().count("evening") == 1


@pytest.mark.parametrize(
    ("voice", "expected"),
    [
        ([], []),
        ([Span(3, 3.9)], []),
        ([Span(3, 4.2)], [Span(3, 4.2)]),
        ([Span(3, 3.6), Span(4, 4.6)], [Span(3, 4.6)]),
        ([Span(3, 3.6), Span(5, 5.6)], []),
        ([Span(0, 3)], [Span(1.3, 3)]),
    ],
    ids=["no voice", "a breath", "a sentence", "with a pause", "two breaths", "after a word"],
)
def test_lost_speech_is_a_second_without_a_word_nearby(voice, expected):
    assert list(speech_without_words(FIRST.words, sounding(10, voice=voice))) == expected


def test_a_word_stretched_over_a_sentence_does_not_cover_it():
    drawn_out = [*utterance_of("good", 0, 1).words, *utterance_of("evening", 1, 9).words]
    assert speech_without_words(drawn_out, sounding(10, voice=[Span(0, 9)])) == (Span(2, 8),)


def test_near_removed_text_less_speech_is_transcribed_again():
    sound = sounding(10, voice=[Span(0, 1), Span(3, 3.6)])
    reheard = utterance_of("for listening", 3, 3.6)
    removed = [RemovedSpeech(4.5, 5.5, "for listening", "no speech here")]
    assert with_lost_speech([FIRST], sound, SecondPass(reheard)) == ([FIRST], [])
    utterances, _ = with_lost_speech([FIRST], sound, SecondPass(reheard), removed)
    assert texts(utterances) == ["good evening", "for listening"]


def test_an_utterance_is_split_at_lost_speech():
    around = utterance_of("one two three four", 0, 8)
    assert texts(interleaved([around], [utterance_of("and a half", 4.5, 5)])) == ["one two three", "and a half", "four"]


UTTERANCES = st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 8)), max_size=5)


@given(utterances=UTTERANCES, recovered=UTTERANCES)
def test_merging_loses_no_word_and_keeps_starts_in_order(utterances, recovered):
    first = sorted(
        (utterance_of("a b c", start, start + seconds) for start, seconds in utterances),
        key=lambda utterance: utterance.start,
    )
    first = [
        utterance for utterance, after in pairwise([*first, utterance_of("x", 99, 100)]) if utterance.end <= after.start
    ]
    second = [utterance_of("d e", start, start + seconds) for start, seconds in recovered]
    whole = interleaved(first, second)
    count = sum(len(utterance.words) for utterance in [*first, *second])
    assert sum(len(utterance.words) for utterance in whole) == count
    assert [utterance.start for utterance in whole] == sorted(utterance.start for utterance in whole)
    assert all(before.end <= after.start or before.words[-1].start >= after.start for before, after in pairwise(whole))
