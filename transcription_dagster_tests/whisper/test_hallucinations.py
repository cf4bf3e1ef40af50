"""What a model makes up: which words are doubted, what is heard again, what is left out, and what is not touched."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.whisper.engine import SpeechEngine
from transcription_dagster.whisper.hallucinations import (
    LOOPS,
    NOBODY_SPEAKS,
    silences,
    speech_regions,
    without_inventions,
)
from transcription_dagster.whisper.spans import Span
from transcription_dagster_tests import corpus
from transcription_dagster_tests.whisper import helpers
from transcription_dagster_tests.whisper.helpers import said, sound, text_of, word_errors

pytestmark = pytest.mark.slow

NOBODY: list[Span] = []

#: With a short ladder: music is heard anew at each temperature, since nothing that is made of it looks right.
transcribe = partial(helpers.transcribe, temperatures=(0.0, 0.4))


class Ear:
    """Stands for the model's second hearing: says what it is told to and remembers where it listened."""

    def __init__(self, *utterances):
        self.utterances = list(utterances)
        self.clips = None

    def __call__(self, clips):
        self.clips = list(clips)
        return self.utterances


def texts(utterances):
    return [" ".join(word.text for word in utterance.words) for utterance in utterances]


def test_a_recording_without_doubtful_text_is_not_touched():
    heard = [said("good evening", 0.5, 1.5), said("and welcome", 3.2, 4)]
    ear = Ear()
    kept, removed = without_inventions(heard, [Span(0.4, 1.6), Span(3, 4)], 20, ear)
    assert kept is heard
    assert (removed, ear.clips) == ([], None)


def test_text_where_nobody_speaks_is_left_out_with_its_place_and_reason():
    heard = [said("good evening", 0.5, 1.5), said("thanks for watching", 10, 13)]
    kept, removed = without_inventions(heard, [Span(0.4, 1.6)], 20, Ear(said("good evening", 0.5, 1.5)))
    assert texts(kept) == ["good evening"]
    assert [(item.start, item.end, item.text, item.reason) for item in removed] == [
        (10, 13, "thanks for watching", NOBODY_SPEAKS)
    ]


def test_only_windows_with_doubtful_text_are_heard_again_and_only_where_somebody_speaks():
    speech = [Span(1, 9), Span(31, 35), Span(50, 58), Span(61, 69)]
    heard = [
        said("first window", 1, 9, window=0),
        said("made up", 40, 44, window=30),
        said("third window", 61, 69, window=60),
    ]
    ear = Ear(said("really said", 31, 35), said("also said", 50, 58))
    kept, _ = without_inventions(heard, speech, 70, ear)
    assert ear.clips == [Span(30.7, 35.3), Span(49.7, 58.3)]
    assert texts(kept) == ["first window", "really said", "also said", "third window"]


def test_a_block_in_which_the_model_heard_nothing():
    assert without_inventions([], [Span(1, 5)], 20, Ear()) == ([], [])


def test_nothing_is_heard_again_where_nobody_speaks_at_all():
    ear = Ear()
    kept, removed = without_inventions([said("made up", 2, 4)], NOBODY, 20, ear)
    assert (kept, ear.clips) == ([], None)
    assert [item.text for item in removed] == ["made up"]


def test_a_loop_over_speech_is_heard_again_and_replaced():
    loop = "thank you for listening " * 5
    ear = Ear(said("the bus leaves at nine", 0.5, 12))
    kept, removed = without_inventions([said(loop, 0.5, 12)], [Span(0.4, 12)], 12, ear)
    assert texts(kept) == ["the bus leaves at nine"]
    assert [(item.text, item.reason) for item in removed] == [(("thank you for listening " * 4).strip(), LOOPS)]


def test_a_loop_that_comes_back_keeps_its_first_time_only():
    loop = said("thank you for listening " * 5, 0.5, 12)
    kept, removed = without_inventions([loop], [Span(0.4, 12)], 12, Ear(loop))
    assert texts(kept) == ["thank you for listening"]
    assert [item.reason for item in removed] == [LOOPS]
    assert removed[0].start == loop.words[4].start


def test_a_loop_across_utterances_is_one_loop():
    heard = [said("thank you for listening", n, n + 0.9) for n in range(6)]
    kept, removed = without_inventions(heard, [Span(0, 6)], 6, Ear(*heard))
    assert texts(kept) == ["thank you for listening"]
    assert len(removed) == 5


def test_text_that_compresses_like_a_loop_is_heard_again():
    ear = Ear(said("something sensible", 0, 3))
    kept, removed = without_inventions([said("la lala la lala", 0, 3, compression=2.6)], [Span(0, 3)], 3, ear)
    assert texts(kept) == ["something sensible"]
    assert removed == []


def test_a_word_drawn_out_over_silence_that_comes_back_in_its_place_was_not_left_out():
    speech = [Span(0.5, 3)]
    drawn_out = [said("the end of the", 0.5, 2.5), said("report", 2.6, 19)]
    kept, removed = without_inventions(drawn_out, speech, 20, Ear(said("the end of the report", 0.5, 3)))
    assert texts(kept) == ["the end of the report"]
    assert removed == []


def test_what_a_second_hearing_invents_is_left_out_as_well():
    ear = Ear(said("good evening", 0.5, 1.5), said("subscribe", 15, 16))
    heard = [said("good evening", 0.5, 1.5), said("thanks for watching", 10, 13)]
    kept, removed = without_inventions(heard, [Span(0.4, 1.6)], 20, ear)
    assert texts(kept) == ["good evening"]
    assert [item.text for item in removed] == ["thanks for watching", "subscribe"]


def test_an_utterance_half_invented_keeps_its_other_half():
    half = said("good evening made up here", 0.5, 12)
    kept, _ = without_inventions([half], [Span(0.4, 5)], 20, Ear(half))
    assert texts(kept) == ["good evening"]
    assert (kept[0].start, kept[0].end) == (half.start, half.words[1].end)


@pytest.mark.parametrize(
    ("speech", "regions"),
    [
        ([], []),
        ([Span(1, 1.3)], []),
        ([Span(1, 1.3), Span(2.2, 2.5)], [Span(1, 2.5)]),
        ([Span(1, 1.3), Span(2.5, 3)], [Span(2.5, 3)]),
        ([Span(1, 2), Span(3.9, 5), Span(8, 9)], [Span(1, 5), Span(8, 9)]),
        ([Span(1, 2), Span(30, 30.2)], [Span(1, 2)]),
    ],
)
def test_speech_is_taken_in_stretches_and_a_click_is_none(speech, regions):
    assert list(speech_regions(speech)) == regions


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ([], [Span(0, 20)]),
        ([Span(0, 20)], []),
        ([Span(5, 8)], [Span(0, 4.5), Span(8.5, 20)]),
        ([Span(0.3, 8), Span(12, 19.8)], [Span(8.5, 11.5)]),
    ],
)
def test_silence_keeps_clear_of_speech(regions, expected):
    assert list(silences(regions, 20)) == expected


@given(
    starts=st.lists(st.floats(0, 50), max_size=8).map(sorted),
    speech=st.lists(st.floats(0, 50), max_size=6).map(sorted),
    again=st.lists(st.floats(0, 50), max_size=4).map(sorted),
)
def test_nothing_is_ever_kept_where_nobody_speaks_and_nothing_vanishes_silently(starts, speech, again):
    heard = [said(f"w{n}", start, start + 0.2, window=start // 10 * 10) for n, start in enumerate(starts)]
    spans = [Span(start, start + 0.5) for start in speech]
    second = [said(f"v{n}", start, start + 0.2) for n, start in enumerate(again)]
    kept, removed = without_inventions(heard, spans, 60, Ear(*second))
    silent = silences(speech_regions(spans), 60)
    for utterance in kept:
        middle = (utterance.start + utterance.end) / 2
        assert not any(span.start <= middle < span.end for span in silent)
    assert [utterance.start for utterance in kept] == sorted(utterance.start for utterance in kept)
    accounted = " ".join([*texts(kept), *(item.text for item in removed)]).split()
    for utterance in heard:
        middle = (utterance.start + utterance.end) / 2
        if any(span.start <= middle < span.end for span in silent):
            assert utterance.words[0].text in accounted


# --- with the model, which greets its listeners over any melody

INVENTING = {
    "melody": corpus.melody(25),
    "another melody": corpus.melody(40, seed=3),
    "tone": corpus.tone(15),
    "noise": corpus.noise(15),
    "faint noise": corpus.noise(20, level=0.01),
}


@pytest.mark.parametrize("kind", INVENTING)
def test_over_music_and_noise_nothing_is_said(engine, tmp_path, kind):
    path = sound(tmp_path, INVENTING[kind])
    assert transcribe(engine, path, remove_invented_speech=False).words
    assert transcribe(engine, path).words == ()


@pytest.mark.parametrize("kind", ["melody", "noise"])
def test_speech_around_music_is_kept_and_what_was_made_up_is_listed(engine, recordings, tmp_path, kind):
    between = INVENTING[kind][: 20 * corpus.RATE]
    before, after = recordings["wav"], recordings["late"]
    path = sound(tmp_path, before.samples, between, after.samples)
    transcript = transcribe(engine, path)
    first, last = before.samples.size / corpus.RATE, (before.samples.size + between.size) / corpus.RATE
    spoken = [word for word in transcript.words if word.end <= first]
    assert word_errors(before.text, " ".join(word.text for word in spoken)) == 0
    assert not [word for word in transcript.words if first + 0.5 < (word.start + word.end) / 2 < last]
    assert [word for word in transcript.words if word.start > last]
    if kind == "melody":
        assert transcript.removed
    for item in transcript.removed:
        assert item.reason == NOBODY_SPEAKS
        assert item.text


def test_long_silence_between_speech(engine, recordings, tmp_path):
    before, after = recordings["wav"], recordings["late"]
    transcript = transcribe(engine, sound(tmp_path, before.samples, 40, after.samples))
    words = text_of(transcript)
    assert words.startswith(before.text)
    assert not [word for word in transcript.words if 8 < (word.start + word.end) / 2 < 48]


def test_music_under_speech_is_no_reason_to_doubt(engine, recordings, tmp_path):
    speech = recordings["mp3"].samples
    path = sound(tmp_path, speech + corpus.melody(30, level=0.02)[: speech.size])
    cautious, trusting = transcribe(engine, path), transcribe(engine, path, remove_invented_speech=False)
    assert cautious.words == trusting.words


def test_the_blocks_of_a_long_recording_are_judged_each_and_the_places_are_the_recordings_own(
    recordings, tmp_path, engine
):

    small = SpeechEngine(threads=1, models_folder=engine.models_folder, block_seconds=25)
    path = sound(tmp_path, recordings["mp3"].samples, corpus.melody(30), recordings["wav"].samples)
    transcript = transcribe(small, path)
    start = recordings["mp3"].samples.size / corpus.RATE
    assert not [word for word in transcript.words if start + 1.5 < (word.start + word.end) / 2 < start + 30]
    assert transcript.removed
    assert all(start - 1 <= item.start <= item.end <= start + 32 for item in transcript.removed)
    ending = " ".join(word.text for word in transcript.words if word.start >= start + 29.5)
    assert word_errors(recordings["wav"].text, ending) <= 2
    assert transcript.words[-1].end == pytest.approx(start + 30 + 6, abs=1)
