"""`transcription models` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from transcription_dagster.cli.models import models
from transcription_dagster.errors import UnknownModel
from transcription_dagster_tests.whisper.conftest import BULLETIN

pytestmark = pytest.mark.slow


def test_the_models_are_listed_and_pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIPTION_HOME", str(tmp_path / "home"))
    runner = CliRunner()
    listed = runner.invoke(models, ["list"])
    assert {"medium", "large-v3", "turbo"} <= set(listed.stdout.split())
    assert runner.invoke(models, ["pull", BULLETIN]).stdout.strip() == BULLETIN
    with pytest.raises(UnknownModel):
        runner.invoke(models, ["pull", "enormous"], catch_exceptions=False)
