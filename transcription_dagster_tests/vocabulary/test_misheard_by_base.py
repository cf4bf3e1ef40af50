"""Vocabularies against real mishearings of Whisper's `base`: only mistakes are corrected."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from transcription_dagster.audio.decode import normalise
from transcription_dagster.model import Term, Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.word_edits import correct_words
from transcription_dagster.vocabulary.variants import correct_variants
from transcription_dagster_tests.whisper.conftest import VOICES, base_engine, voices
from transcription_dagster_tests.whisper.helpers import transcribe, word_errors

__all__ = ["base_engine", "voices"]

# `refinement/test_misheard.py` does the same with the demo.
pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

_FOLDER = os.environ.get("TRANSCRIPTION_TEST_SPEECH")

#: The output of `base` for names in read sentences, and the same sounds spoken as other words.
TERMS = (
    Term("Kowloon", ("Kovloom", "Koulun")),
    Term("Mekka", ("Mecker", "Mecca")),
    Term("Carpanedo", ("Carpaneo", "Karpanedo")),
    Term("aparte", ("a parte",)),
    Term("III", ("3", "three")),
    Term("Sintra", ("Centra", "syntra")),
    Term("blog", ("block", "blogs")),
    Term("Hedda", ("header", "had her")),
)


def harmless_edits(words: Sequence[Word], terms: Sequence[Term], reference: str) -> int:
    """Return how many edits a vocabulary makes; each must bring the text closer to the spoken words."""
    edits = correct_variants(words, terms)
    errors = word_errors(reference, join_words(words))
    for edit in edits:
        assert word_errors(reference, join_words(correct_words(words, [edit]))) < errors, edit
    return len(edits)


def test_fictional_terms_of_a_lecture_are_corrected_and_nothing_else(base_engine, voices):
    entries = json.loads((VOICES / "references.json").read_text(encoding="utf-8"))
    [entry] = [entry for entry in entries if entry["title"] == "Rocks of the Marrowgate Basin"]
    terms = [Term(term["term"], tuple(term["variants"])) for term in entry["vocabulary"]]
    words = transcribe(base_engine, voices[entry["title"]].flac, model="base", language="en").words
    assert harmless_edits(words, terms, entry["text"]) >= 3


@pytest.mark.skipif(not _FOLDER, reason="TRANSCRIPTION_TEST_SPEECH names no folder with recordings of people")
def test_names_in_read_sentences_are_corrected_and_nothing_else(base_engine, tmp_path):
    folder = Path(str(_FOLDER))
    entries = json.loads((folder / "references.json").read_text(encoding="utf-8"))
    chosen = [entry for entry in entries if entry["file"] in _READ]
    if not chosen:
        pytest.skip("the folder of TRANSCRIPTION_TEST_SPEECH has none of the read sentences")
    edits = 0
    for number, entry in enumerate(chosen):
        normalise(folder / entry["file"], tmp_path / f"{number}.flac", max_seconds=600)
        words = transcribe(base_engine, tmp_path / f"{number}.flac", model="base").words
        edits += harmless_edits(words, TERMS, entry["reference"])
    assert edits >= len(chosen) / 2


_READ = (
    "fleurs_fleurs-de-000.ogg",
    "fleurs_fleurs-de-004.ogg",
    "fleurs_fleurs-es-004.ogg",
    "uberi_english.wav",
)
