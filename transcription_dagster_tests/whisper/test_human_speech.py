"""Recordings of people on which a repair is most likely to do harm: a cold, a telephone, a meeting with long noise."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein
from whisper.normalizers import EnglishTextNormalizer

from transcription_dagster.audio.decode import normalise
from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.model import Transcript
from transcription_dagster.whisper.repair.lost_speech import speech_without_words
from transcription_dagster.whisper.voice_activity import analyse
from transcription_dagster_tests.whisper.helpers import text_of, transcribe

_FOLDER = os.environ.get("TRANSCRIPTION_TEST_SPEECH")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _FOLDER, reason="TRANSCRIPTION_TEST_SPEECH names no folder with recordings of people"),
]

#: A stretch of speech this long (s) without a word is lost.
_LOST_SECONDS = 2.0


@dataclass(frozen=True)
class Transcribed:
    """A transcript, and the recording's entry in the list."""

    transcript: Transcript
    samples: np.ndarray
    entry: dict[str, Any]

    @property
    def errors(self) -> int:
        """Return the edit distance from the reference in words, as Whisper's authors count it."""
        plain = EnglishTextNormalizer()
        return Levenshtein.distance(plain(self.entry["reference"]).split(), plain(text_of(self.transcript)).split())


@pytest.fixture(scope="module")
def transcribe_file(base_engine, tmp_path_factory):
    """Transcribe a recording of the folder with the real `base` and default options."""
    folder = Path(str(_FOLDER))
    entries = {entry["file"]: entry for entry in json.loads((folder / "references.json").read_text(encoding="utf-8"))}

    def transcribe_file(file: str) -> Transcribed:
        if file not in entries:
            pytest.skip(f"the folder of TRANSCRIPTION_TEST_SPEECH has no {file}")
        flac = tmp_path_factory.mktemp("people") / "audio.flac"
        normalise(folder / file, flac, max_seconds=600)
        transcript = transcribe(base_engine, flac, model="base")
        return Transcribed(transcript, np.concatenate([*read_blocks(flac, 60)]), entries[file])

    return transcribe_file


@pytest.mark.parametrize(
    ("file", "errors_of_whisper"),
    [
        ("mfa_cold_corpus3.flac", 2),
        # The cold is a sample.
        pytest.param("pyannote_sample.flac", 21, marks=pytest.mark.exhaustive),
    ],
)
def test_no_spoken_words_are_removed_or_lost(transcribe_file, file, errors_of_whisper):
    """A repair must not add errors to those of `model.transcribe` with the same weights."""
    result = transcribe_file(file)
    assert result.errors <= errors_of_whisper
    assert result.transcript.removed == ()
    assert speech_without_words(result.transcript.words, analyse(result.samples), _LOST_SECONDS) == ()


# `repair/test_hallucinations.py` does the same with tones, noise and silence.
@pytest.mark.exhaustive
def test_noises_of_a_meeting_give_no_words(transcribe_file):
    """Twenty seconds of papers and cups, and then two words."""
    result = transcribe_file("ami_excerpts_trn02.flac")
    assert [word.text for word in result.transcript.words if not 20 < word.start < 21.5] == []
    assert 1 <= len(result.transcript.words) <= 3
    assert "video" in " ".join(removed.text for removed in result.transcript.removed)
