"""Recordings in several languages, and prompts that must not appear in the text, with the real Whisper `base`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.model import Transcript
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.word_languages import language_runs
from transcription_dagster_tests.corpus import RATE
from transcription_dagster_tests.whisper.helpers import sound, text_of, transcribe, word_errors

pytestmark = pytest.mark.slow

_FOLDER = os.environ.get("TRANSCRIPTION_TEST_SPEECH")


def runs(transcript: Transcript) -> list[tuple[str, str]]:
    """Return the text in each language, in order."""
    words = transcript.words
    return [
        (run.language, join_words(words[run.first : run.stop])) for run in language_runs(words, transcript.language)
    ]


# `test_a_change_of_language_is_followed` has the samples.
@pytest.mark.exhaustive
def test_a_recording_is_transcribed_in_each_of_its_languages(base_engine, voices, tmp_path):
    memo, japanese = voices["A quiet memo"], voices["秋の市場のお知らせ"].samples[: 6 * RATE]
    english = memo.samples[: 4 * RATE]
    joined = sound(tmp_path, english, 0.5, japanese, 0.5, english)
    transcript = transcribe(base_engine, joined, model="base")
    (first, before), (second, between), (third, after) = runs(transcript)
    assert (first, second, third) == ("en", "ja", "en")
    spoken = memo.text[: memo.text.index(" pick up")]
    assert word_errors(spoken, before) <= 1
    assert "町のラジオ" in between
    assert word_errors(spoken, after) <= 1
    assert transcript.language == "en"


def test_only_candidate_languages_are_detected(base_engine, voices, tmp_path):
    # In a wrong language, `base` decodes a longer recording repeatedly.
    memo = sound(tmp_path, voices["A quiet memo"].samples[: 4 * RATE])
    transcript = transcribe(base_engine, memo, model="base", languages=("de", "cy"), temperatures=(0.0,))
    assert transcript.language in ("de", "cy")
    assert {word.language for word in transcript.words} == {transcript.language}


@pytest.mark.parametrize(
    "prompt",
    [
        "Guten Abend, meine Damen und Herren. Der Gemeinderat von Überlingen tagt heute im Rathaus.",
        # The German one is the sample.
        pytest.param("昨日の会議の議事録です。", marks=pytest.mark.exhaustive),
    ],
)
def test_a_prompt_in_any_language_adds_no_words_and_changes_no_language(base_engine, voices, prompt):
    memo = voices["A quiet memo"]
    transcript = transcribe(base_engine, memo.flac, model="base", initial_prompt=prompt)
    assert transcript.language == "en"
    # A prompt may change one word.
    assert word_errors(memo.text, text_of(transcript)) <= 1


def test_a_prompt_does_not_appear_in_silence(base_engine, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.003, 20 * RATE).astype(np.float32)
    prompt = "Quillonite, Marrowgate Basin, Vellicant."
    assert transcribe(base_engine, sound(tmp_path, noise), model="base", initial_prompt=prompt).words == ()


@pytest.mark.skipif(not _FOLDER, reason="TRANSCRIPTION_TEST_SPEECH names no folder with recordings of people")
@pytest.mark.parametrize(
    ("file", "part", "spoken"),
    [
        # As in `test_a_recording_is_transcribed_in_each_of_its_languages`, with another pair of languages.
        pytest.param(
            "unreferenced_multilingual.mp3",
            (24, 36),
            [("en", "this permission notice"), ("de", "diese Software")],
            marks=pytest.mark.exhaustive,
        ),
        # Foreign names change nothing.
        ("fleurs_fleurs_zh_en_mix_1805_1830_clip6.flac", (0, 60), [("zh", "多數席位")]),
    ],
)
def test_a_change_of_language_is_followed(base_engine, tmp_path, file, part, spoken):
    """`part` is what of the file is transcribed, in seconds."""
    folder = Path(str(_FOLDER))
    if file not in {entry["file"] for entry in json.loads((folder / "references.json").read_text(encoding="utf-8"))}:
        pytest.skip(f"the folder of TRANSCRIPTION_TEST_SPEECH has no {file}")
    normalise(folder / file, tmp_path / "audio.flac", max_seconds=600)
    samples = np.concatenate([*read_blocks(tmp_path / "audio.flac", 60)])
    audio = sound(tmp_path, samples[part[0] * RATE : part[1] * RATE])
    detected = runs(transcribe(base_engine, audio, model="base"))
    assert [language for language, _ in detected] == [language for language, _ in spoken]
    for (_, text), (_, phrase) in zip(detected, spoken, strict=True):
        assert phrase in text
