"""Hallucinations: which words are removed, doubted or transcribed again, and which stay untouched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sounds import drums
from transcription_dagster.whisper.repair.evidence import is_hallucinated, witnesses
from transcription_dagster.whisper.repair.hallucinations import (
    LOOPS,
    NO_SPEECH_HERE,
    NOT_REPEATED,
    without_hallucinations,
)
from transcription_dagster.whisper.spans import Span
from transcription_dagster.whisper.utterances import Utterance
from transcription_dagster_tests import corpus
from transcription_dagster_tests.whisper import helpers
from transcription_dagster_tests.whisper.helpers import sound, sounding, text_of, utterance_of

#: Few temperatures, because music is decoded again at each one: none of its text looks right.
transcribe = partial(helpers.transcribe, temperatures=(0.0, 0.4))


class SecondPass:
    """A fake second pass: returns given words and records the spans."""

    def __init__(self, *utterances: Utterance) -> None:
        self.utterances = list(utterances)
        self.clips: list[Span] | None = None
        self.persistently: bool | None = None

    def __call__(self, clips: Sequence[Span], persistently: bool) -> list[Utterance]:
        self.clips, self.persistently = list(clips), persistently
        return self.utterances


def texts(utterances: Sequence[Utterance]) -> list[str]:
    return [" ".join(word.text for word in utterance.words) for utterance in utterances]


def unsure(utterance: Utterance) -> Utterance:
    """Return the same words from a window that the model rated as silence."""
    return replace(utterance, no_speech_probability=0.9)


GREETING = utterance_of("good evening", 0.5, 1.5)
HALLUCINATION = utterance_of("thanks for watching", 10, 13)
#: There is speech at the start; music, noise or silence for the rest.
MUSIC = sounding(20, voice=[Span(0.4, 1.6)], loud=[Span(0, 20)])
NOISE = sounding(20, voice=[Span(0.4, 1.6)], loud=[Span(0.4, 1.6)])


def test_a_recording_without_evidence_is_not_changed():
    utterances = [GREETING, utterance_of("and welcome", 3.2, 4)]
    second_pass = SecondPass()
    checked = without_hallucinations(utterances, sounding(20, voice=[Span(0.4, 1.6), Span(3, 4)]), second_pass)
    assert checked.kept is utterances
    assert (checked.removed, checked.doubtful, second_pass.clips) == ([], [], None)


def test_a_word_denied_by_two_witnesses_is_removed_and_documented():
    second_pass = SecondPass()
    checked = without_hallucinations([GREETING, HALLUCINATION], NOISE, second_pass)
    assert texts(checked.kept) == ["good evening"]
    (removed,) = checked.removed
    assert (removed.start, removed.end, removed.text, removed.reason) == (10, 13, "thanks for watching", NO_SPEECH_HERE)
    assert removed.witnesses == ("level", "voice")
    assert second_pass.clips is None


def test_voice_activity_alone_only_triggers_a_second_pass():
    second_pass = SecondPass(HALLUCINATION)
    checked = without_hallucinations([GREETING, HALLUCINATION], MUSIC, second_pass)
    assert texts(checked.kept) == ["good evening", "thanks for watching"]
    assert checked.removed == []
    assert [(item.text, item.witnesses) for item in checked.doubtful] == [("thanks for watching", ("voice",))]
    assert (second_pass.clips, second_pass.persistently) == ([Span(9, 14)], False)


@pytest.mark.parametrize(
    ("reheard", "witness"),
    [
        ([], "model"),
        ([utterance_of("la la la", 10, 13)], "hearing"),
        ([utterance_of("thanks for watching", 13.5, 16)], "hearing"),
    ],
    ids=["nothing", "something else", "elsewhere"],
)
def test_words_that_a_second_pass_does_not_repeat_in_place_are_removed(reheard, witness):
    checked = without_hallucinations([GREETING, HALLUCINATION], MUSIC, SecondPass(*reheard))
    assert texts(checked.kept) == ["good evening"]
    assert [item.witnesses for item in checked.removed] == [(witness, "voice")]


def test_words_that_a_second_pass_repeats_are_kept_word_by_word():
    checked = without_hallucinations(
        [GREETING, HALLUCINATION], MUSIC, SecondPass(utterance_of("thanks for it", 10, 13))
    )
    assert texts(checked.kept) == ["good evening", "thanks for"]
    assert [item.text for item in checked.removed] == ["watching"]


def test_a_second_pass_that_doubts_its_own_text_is_no_witness():
    improbable = replace(utterance_of("la la la", 10, 13), average_log_probability=-1.5)
    checked = without_hallucinations([GREETING, HALLUCINATION], MUSIC, SecondPass(improbable))
    assert texts(checked.kept) == ["good evening", "thanks for watching"]


@pytest.mark.parametrize(
    ("reheard", "kept"),
    [
        ("la la la", ""),
        ("thanks la la", ""),
        ("thanks for la", "thanks for"),
        ("thanks for watching", "thanks for watching"),
    ],
)
def test_a_second_pass_that_rates_the_place_as_silence_must_repeat_half_of_it(reheard, kept):
    checked = without_hallucinations(
        [GREETING, HALLUCINATION], MUSIC, SecondPass(unsure(utterance_of(reheard, 10, 13)))
    )
    assert texts(checked.kept) == ["good evening", *filter(None, [kept])]
    assert all(item.witnesses == ("model", "voice") for item in checked.removed)


def test_a_model_that_doubts_itself_is_the_second_witness():
    checked = without_hallucinations([GREETING, unsure(HALLUCINATION)], MUSIC, SecondPass())
    assert [item.witnesses for item in checked.removed] == [("model", "voice")]


def mumbled(utterance: Utterance) -> Utterance:
    """Return the same words with the low probability of mumbled speech."""
    words = tuple(replace(word, confidence=0.01) for word in utterance.words)
    return replace(utterance, average_log_probability=-3.0, words=words)


@pytest.mark.parametrize(
    "reheard", [[], [mumbled(utterance_of("could even", 0.5, 1.5))]], ids=["nothing", "mumbled too"]
)
def test_a_mumbled_word_stays_unless_a_second_pass_contradicts_it(reheard):
    utterances = [mumbled(GREETING)]
    checked = without_hallucinations(utterances, MUSIC, SecondPass(*reheard))
    assert checked.kept == utterances
    assert checked.removed == []
    assert [item.text for item in checked.doubtful] == ["good evening"]


def test_a_sentence_added_to_the_last_breath_is_removed_if_a_second_pass_omits_it():
    added = mumbled(utterance_of("turning upside down and repeating itself", 1.4, 1.6))
    checked = without_hallucinations([GREETING, added], MUSIC, SecondPass(GREETING))
    assert checked.kept == [GREETING]
    (removed,) = checked.removed
    assert (removed.reason, removed.witnesses) == (NOT_REPEATED, ("attention", "hearing", "model"))


def test_a_half_hallucinated_utterance_keeps_its_other_half():
    half = utterance_of("good evening made up here", 0.5, 12)
    checked = without_hallucinations([half], NOISE, SecondPass())
    assert texts(checked.kept) == ["good"]
    assert (checked.kept[0].start, checked.kept[0].end) == (half.start, half.words[0].end)


def test_a_word_in_a_pause_between_kept_words_is_kept():
    utterance = utterance_of("one two three four five", 0, 4)
    second_pass = SecondPass()
    checked = without_hallucinations([utterance], sounding(20, voice=[Span(0, 0.9), Span(3.1, 4)]), second_pass)
    assert checked.kept == [utterance]
    assert (checked.doubtful, second_pass.clips) == ([], None)


def test_a_block_without_words():
    checked = without_hallucinations([], MUSIC, SecondPass())
    assert (checked.kept, checked.removed, checked.doubtful) == ([], [], [])


# --- loops

LOOP = utterance_of("thank you for listening " * 5, 0.5, 12)
TALK = sounding(12, voice=[Span(0.4, 12)])


def test_a_loop_is_replaced_by_a_better_second_pass_and_listed_with_it():
    second_pass = SecondPass(utterance_of("the bus leaves at nine", 0.5, 12))
    checked = without_hallucinations([LOOP], TALK, second_pass)
    assert texts(checked.kept) == ["the bus leaves at nine"]
    (removed,) = checked.removed
    assert (removed.text, removed.reason) == (("thank you for listening " * 5).strip(), LOOPS)
    assert removed.instead == "the bus leaves at nine"
    assert second_pass.persistently


@pytest.mark.parametrize(
    "reheard",
    [
        [LOOP],
        [],
        [unsure(utterance_of("the bus leaves at nine", 0.5, 12))],
        [replace(utterance_of("the bus leaves at nine", 0.5, 12), temperature=0.8)],
    ],
    ids=["the same", "nothing", "unsure", "guessed"],
)
def test_the_first_pass_is_kept_unless_the_second_is_better(reheard):
    checked = without_hallucinations([LOOP], TALK, SecondPass(*reheard))
    assert checked.kept == [LOOP]
    assert checked.removed == []


def test_counting_aloud_is_not_transcribed_again():
    spans = [Span(second, second + 0.6) for second in range(18)]
    counted = [
        utterance_of(word, span.start, span.end) for word, span in zip(("one", "two", "three") * 6, spans, strict=True)
    ]
    second_pass = SecondPass()
    assert without_hallucinations(counted, sounding(18, voice=spans), second_pass).kept is counted
    assert second_pass.clips is None


def test_a_loop_of_several_repetitions_per_breath_is_transcribed_again():
    spans = [Span(second, second + 0.6) for second in range(18)]
    second_pass = SecondPass(utterance_of("one two three four five six", 0, 2))
    checked = without_hallucinations([utterance_of("one two three " * 6, 0, 2)], sounding(18, voice=spans), second_pass)
    assert texts(checked.kept) == ["one two three four five six"]
    assert second_pass.clips == [Span(0, 2)]


def test_a_text_that_compresses_like_a_loop_is_transcribed_again():
    second_pass = SecondPass(utterance_of("something sensible", 0, 3))
    checked = without_hallucinations(
        [utterance_of("la lala la lala", 0, 3, compression=2.6)], sounding(3, voice=[Span(0, 3)]), second_pass
    )
    assert texts(checked.kept) == ["something sensible"]
    assert [item.text for item in checked.removed] == ["la lala la lala"]


def test_words_next_to_a_loop_are_kept():
    before, after = utterance_of("good evening", 0, 0.4), utterance_of("and welcome", 12.5, 14)
    second_pass = SecondPass(before, utterance_of("the bus leaves at nine", 0.5, 12), after)
    checked = without_hallucinations([before, LOOP, after], sounding(14, voice=[Span(0, 14)]), second_pass)
    assert texts(checked.kept) == ["good evening", "the bus leaves at nine", "and welcome"]


# --- whatever comes

spans = st.lists(st.floats(0, 50), max_size=6).map(sorted).map(lambda starts: [Span(at, at + 0.5) for at in starts])


@given(starts=st.lists(st.floats(0, 50), max_size=8).map(sorted), voice=spans, loud=spans, reheard=spans)
def test_a_removal_needs_two_witnesses_and_is_always_listed(starts, voice, loud, reheard):
    utterances = [utterance_of(f"w{number}", start, start + 0.3) for number, start in enumerate(starts)]
    about = sounding(60, voice=voice, loud=loud)
    second = [utterance_of(f"w{number}", span.start, span.end) for number, span in enumerate(reheard)]
    checked = without_hallucinations(utterances, about, SecondPass(*second))
    assert sorted([*texts(checked.kept), *(item.text for item in checked.removed)]) == sorted(texts(utterances))
    assert [utterance.start for utterance in checked.kept] == sorted(utterance.start for utterance in checked.kept)
    assert all(len(item.witnesses) >= 2 for item in checked.removed)
    evidence = zip(texts(utterances), witnesses(utterances, about), strict=True)
    assert {text for text, word_evidence in evidence if is_hallucinated(word_evidence)} <= {
        item.text for item in checked.removed
    }
    kept = set(texts(checked.kept))
    assert {item.text for item in checked.doubtful} <= kept


# --- with the toy model, which greets its listeners over any noise

INVENTING = {
    "tone": corpus.tone(15),
    "noise": corpus.noise(15),
    "faint noise": corpus.noise(20, level=0.01),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", INVENTING)
def test_tones_and_noise_give_no_words(engine, tmp_path, kind):
    path = sound(tmp_path, INVENTING[kind])
    assert transcribe(engine, path, remove_invented_speech=False).words
    assert transcribe(engine, path).words == ()


@pytest.mark.slow
def test_a_long_silence_between_speech_gives_no_words(engine, recordings, tmp_path):
    before, after = recordings["wav"], recordings["late"]
    transcript = transcribe(engine, sound(tmp_path, before.samples, 40, after.samples))
    words = text_of(transcript)
    assert words.startswith(before.text)
    assert not [word for word in transcript.words if 8 < (word.start + word.end) / 2 < 48]


@pytest.mark.slow
def test_music_under_speech_causes_no_doubt(engine, recordings, tmp_path):
    speech = recordings["mp3"].samples
    path = sound(tmp_path, speech + corpus.melody(30, level=0.02)[: speech.size])
    cautious, trusting = transcribe(engine, path), transcribe(engine, path, remove_invented_speech=False)
    assert text_of(cautious) == text_of(trusting)


# --- with the real `base`

#: The prompt of a demo recording's vocabulary. After its last word, the model is left with 0.7 s of nothing.
ROCKS = "Quillonite, Marrowgate Basin, Tarnwell Shale, Vellicants, Vellicant, Orrisite, Ostrel rule, Perrick method."


# `test_a_sentence_added_to_the_last_breath_is_removed_if_a_second_pass_omits_it` does the same without a model.
@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_prompt_of_terms_adds_no_sentence_to_the_end_of_a_recording(base_engine, voices, tmp_path):
    recording = sound(tmp_path, voices["Rocks of the Marrowgate Basin"].samples[27 * corpus.RATE :])
    transcript = transcribe(base_engine, recording, model="base", initial_prompt=ROCKS, temperatures=(0.0, 1.0))
    assert text_of(transcript).endswith("not that kind of salt.")
    assert [removed.witnesses for removed in transcript.removed] == [("attention", "hearing", "model")]


# `test_tones_and_noise_give_no_words` does the same with other sounds.
@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_drum_machine_gives_no_words(base_engine, tmp_path):
    path = sound(tmp_path, drums()[: 10 * corpus.RATE])
    transcript = helpers.transcribe(base_engine, path, model="base", temperatures=(0.0,))
    assert transcript.words == ()
    assert transcript.removed, "base invents nothing here any more: choose another sound"
    assert {witness for removed in transcript.removed for witness in removed.witnesses} >= {"attention", "voice"}
