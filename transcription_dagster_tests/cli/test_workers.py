"""A run worker that cannot work reports it and exits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from transcription_dagster_tests.postgres import released_database

pytestmark = pytest.mark.slow


def test_a_run_worker_refuses_tables_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with released_database() as url:
        monkeypatch.setenv("TRANSCRIPTION_DATABASE_URL", url)
        monkeypatch.setenv("TRANSCRIPTION_HOME", str(tmp_path))
        command = [sys.executable, "-m", "transcription_dagster", "run-worker"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 1
    assert "this program needs" in result.stderr.splitlines()[-1]
    assert "run `transcription database upgrade`" in result.stderr.splitlines()[-1]
