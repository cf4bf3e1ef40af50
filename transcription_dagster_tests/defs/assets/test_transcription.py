"""Decoding options: the run's override the recording's, which override the settings'."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from transcription_dagster.database.recordings import Recording, register
from transcription_dagster.defs.assets.transcription import TranscriptConfig, options_of_run
from transcription_dagster.defs.resources import CatalogueResource
from transcription_dagster.settings import load_settings

ONE = "919f49d0-ef35-5e93-b564-e948b9d75f83"


@pytest.mark.parametrize(
    ("recording", "config", "expected"),
    [
        ({}, {}, ("fr", ("es",))),
        ({"language": "de"}, {}, ("de", ("es",))),
        ({"languages": ("de", "en")}, {}, (None, ("de", "en"))),
        ({"languages": ("de", "en")}, {"language": "it"}, ("it", ("de", "en"))),
        ({"language": "de"}, {"languages": ["en", "it"]}, (None, ("en", "it"))),
    ],
)
def test_the_runs_languages_override_the_recordings_and_the_settings(
    recording: dict[str, object],
    config: dict[str, object],
    expected: tuple[str | None, tuple[str, ...]],
    at_home: Path,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRANSCRIPTION_LANGUAGE", "fr")
    monkeypatch.setenv("TRANSCRIPTION_LANGUAGES", "es")
    register(engine, [Recording(ONE, "file:///a.wav", **recording)])  # type: ignore[arg-type]  # its fields by name
    settings = load_settings()
    catalogue = CatalogueResource(settings=settings)
    options = options_of_run(TranscriptConfig(**config), catalogue, settings, ONE)  # type: ignore[arg-type]
    assert (options.language, options.languages) == expected
