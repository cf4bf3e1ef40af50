"""Evidence against words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transcription_dagster.model import Word
from transcription_dagster.whisper.repair.evidence import Witness, audible_parts, is_hallucinated, is_suspect, witnesses
from transcription_dagster.whisper.spans import Span
from transcription_dagster_tests.whisper.helpers import sounding, utterance_of

VOICE = sounding(60, voice=[Span(10, 20)], loud=[Span(10, 30)])


def against(word: Word, **of_the_window: float) -> set[Witness]:
    utterance = replace(utterance_of("word", 0, 1), words=(word,), **of_the_window)
    (witnesses_of_word,) = witnesses([utterance], VOICE)
    return set(witnesses_of_word)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (Word("utterance_of", 12, 12.4), set()),
        (Word("utterance_of", 20.3, 20.7), set()),
        (Word("music", 25, 25.4), {Witness.VOICE}),
        (Word("nothing", 45, 45.4), {Witness.VOICE, Witness.LEVEL}),
        (Word("mumbled", 12, 12.4, 0.1), {Witness.ATTENTION}),
        (Word("drawn out", 12, 16), {Witness.ATTENTION}),
        (Word("no time", 12, 12), {Witness.ATTENTION}),
        (Word("no place", 31.1, 31.1), {Witness.ATTENTION, Witness.VOICE}),
        (Word("nowhere", 40, 40), {Witness.ATTENTION, Witness.VOICE, Witness.LEVEL}),
    ],
    ids=lambda value: value.text if isinstance(value, Word) else "",
)
def test_audio_and_attention_are_witnesses_of_each_word(word, expected):
    assert against(word) == expected


@pytest.mark.parametrize(
    "window",
    [{"no_speech_probability": 0.7}, {"average_log_probability": -1.1}, {"compression_ratio": 2.5}],
    ids=["silence", "improbable", "repetitive"],
)
def test_the_model_is_a_witness_of_its_window(window):
    assert against(Word("utterance_of", 12, 12.4), **window) == {Witness.MODEL}


def test_punctuation_shares_the_evidence_of_the_word_before_it():
    utterance = replace(utterance_of("a b", 0, 1), words=(Word("nothing", 45, 45.4), Word("-", 15, 15.4)))
    first, second = witnesses([utterance], VOICE)
    assert first == second


@pytest.mark.parametrize(
    ("speaking", "suspect", "hallucinated"),
    [
        (set(), False, False),
        ({Witness.VOICE}, True, False),
        ({Witness.LEVEL}, True, False),
        ({Witness.LEVEL, Witness.VOICE}, True, True),
        ({Witness.VOICE, Witness.MODEL}, True, True),
        ({Witness.VOICE, Witness.HEARING}, True, True),
        ({Witness.MODEL}, False, False),
        ({Witness.MODEL, Witness.ATTENTION}, True, False),
        ({Witness.ATTENTION, Witness.HEARING}, False, False),
        ({Witness.MODEL, Witness.ATTENTION, Witness.HEARING}, True, True),
    ],
)
def test_a_removal_needs_two_witnesses_with_one_acoustic_or_three(speaking, suspect, hallucinated):
    assert (is_suspect(frozenset(speaking)), is_hallucinated(frozenset(speaking))) == (suspect, hallucinated)


@pytest.mark.parametrize(
    ("loud", "parts"),
    [
        ([Span(0, 60)], [Span(0, 60)]),
        ([Span(5, 10), Span(30, 31)], [Span(0, 60)]),
        ([], []),
        ([Span(50, 55)], [Span(49, 60)]),
        ([Span(0, 5)], [Span(0, 6)]),
        ([Span(0, 5), Span(50, 60)], [Span(0, 6), Span(49, 60)]),
    ],
    ids=["all of it", "short pauses", "nothing", "late", "early", "both ends"],
)
def test_long_stretches_without_signal_are_not_transcribed(loud, parts):
    parts = audible_parts(sounding(60, voice=[], loud=loud))
    assert [(part.start, part.end) for part in parts] == [
        (pytest.approx(part.start, abs=0.07), pytest.approx(part.end, abs=0.07)) for part in parts
    ]


def test_a_short_recording_without_signal_is_not_transcribed():
    assert audible_parts(sounding(5, voice=[], loud=[])) == ()
    assert audible_parts(sounding(5, voice=[], loud=[Span(1, 1.1)])) == (Span(0, 5),)
