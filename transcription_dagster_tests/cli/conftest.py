from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from transcription_dagster.cli.main import transcription
from transcription_dagster_tests.postgres import database_url, engine

__all__ = ["database_url", "engine", "on_database"]


@pytest.fixture
def on_database(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs a command with its own database and home, in the folder `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSCRIPTION_DATABASE_URL", database_url)
    monkeypatch.setenv("TRANSCRIPTION_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSCRIPTION_STORE", (tmp_path / "store").as_uri())
    return lambda *arguments, **options: CliRunner().invoke(transcription, arguments, **options)
