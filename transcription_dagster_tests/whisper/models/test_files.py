"""The real Whisper `base`, joined from packages, on natural voices."""

from __future__ import annotations

from typing import Any, cast

import pytest
import whisper
from whisper.model import Whisper

from transcription_dagster.errors import ModelUnavailable
from transcription_dagster.whisper.models.files import downloaded_models, fetch_model, installed_parts, join_parts
from transcription_dagster_tests.whisper.helpers import text_of, transcribe, word_errors

pytestmark = pytest.mark.slow


def test_base_is_joined_from_its_packages_once(base_engine):
    folder = base_engine.models_folder
    file = folder / "base" / "model.bin"
    written = file.stat().st_mtime_ns
    assert fetch_model("base", folder) == file.parent
    assert downloaded_models(folder) == {"base": file}
    assert file.stat().st_mtime_ns == written


def test_a_damaged_file_is_joined_again(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model.bin").write_bytes(b"half of it")
    assert (fetch_model("base", tmp_path) / "model.bin").stat().st_size > 100e6


def test_parts_that_are_not_the_published_model_are_refused(tmp_path):
    parts = installed_parts("base")
    assert parts is not None
    with pytest.raises(ModelUnavailable, match="install them again"):
        join_parts("base", parts[::-1], tmp_path / "base")
    assert not any(tmp_path.iterdir())


def test_a_model_without_packages_has_no_parts():
    assert installed_parts("large-v3") is None


def test_base_has_the_heads_that_whisper_gives_it(base_engine):
    expected = Whisper(base_engine.model("base").dims)
    expected.set_alignment_heads(whisper._ALIGNMENT_HEADS["base"])
    actual, expected_heads = base_engine.model("base").alignment_heads, cast("Any", expected.alignment_heads)
    assert actual.to_dense().equal(expected_heads.to_dense())


def test_base_transcribes_speech(base_engine, voices):
    recording = voices["A quiet memo"]
    transcript = transcribe(base_engine, recording.flac, model="base")
    assert transcript.language == "en"
    assert word_errors(recording.text, text_of(transcript)) == 0
