"""Voice activity detection."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from transcription_dagster.whisper.spans import Span, common
from transcription_dagster.whisper.voice_activity import analyse, silero_probabilities
from transcription_dagster_tests import corpus
from transcription_dagster_tests.whisper.conftest import DEMO

pytestmark = pytest.mark.slow


def find_speech(samples: np.ndarray) -> tuple[Span, ...]:
    return analyse(samples).speech


@pytest.mark.parametrize("name", ["wav", "flac", "webm", "late"])
def test_sentences_are_found_to_a_fifth_of_a_second(recordings, name):
    references = json.loads((DEMO / "recordings" / "references.json").read_text())
    cues = next(entry["cues"] for entry in references if entry["text"] == recordings[name].text)
    speech = find_speech(recordings[name].samples)
    for cue in cues:
        sentence = Span(cue["start"], cue["end"])
        assert sum(part.seconds for part in common(sentence, speech)) > 0.85 * sentence.seconds
    assert speech[0].start == pytest.approx(cues[0]["start"], abs=0.2)
    assert speech[-1].end == pytest.approx(cues[-1]["end"], abs=0.2)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(16_000 * 20, np.float32), corpus.noise(20), corpus.tone(20), corpus.melody(40, seed=3)],
    ids=["silence", "noise", "tone", "melody"],
)
def test_sound_without_a_voice_has_no_speech(samples):
    assert find_speech(samples) == ()


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 16_000])
def test_any_number_of_samples_is_analysed(size):
    samples = corpus.noise(1)[:size]
    assert silero_probabilities(samples).shape == (-(-size // 512),) if size else find_speech(samples) == ()


def test_a_long_recording_read_in_parallel_gives_the_same_probabilities(recordings):
    once = recordings["ogg"].samples
    alone = find_speech(once)
    among_others = find_speech(np.concatenate([once] * 6))
    start = 3 * once.size / corpus.RATE
    third = common(Span(start, start + once.size / corpus.RATE), among_others)
    shared = sum(part.seconds for span in alone for part in common(Span(span.start + start, span.end + start), third))
    assert shared > 0.97 * sum(span.seconds for span in alone)
    assert sum(span.seconds for span in third) == pytest.approx(sum(span.seconds for span in alone), rel=0.03)


def test_two_threads_do_not_share_a_detectors_state(recordings):
    samples = [recordings["wav"].samples, recordings["flac"].samples] * 3
    expected = [find_speech(sound) for sound in samples]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(find_speech, samples)) == expected


@pytest.mark.parametrize("decibels", [-20, -40])
def test_quiet_speech_is_found_as_loud_speech_is(recordings, decibels):
    loud = recordings["wav"].samples
    quiet = np.round(loud * 10 ** (decibels / 20) * 32768).astype(np.float32) / 32768
    expected, detected = find_speech(loud), find_speech(quiet)
    shared = sum(part.seconds for span in expected for part in common(span, detected))
    assert shared > 0.9 * sum(span.seconds for span in expected)


def test_the_noise_of_a_silent_room_is_not_amplified_to_a_voice():
    assert find_speech(corpus.noise(20, level=0.0005)) == ()
