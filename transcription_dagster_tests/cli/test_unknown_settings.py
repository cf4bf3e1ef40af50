from __future__ import annotations

import os
import subprocess
import sys

import pytest

from transcription_dagster.cli.unknown_settings import unknown_settings
from transcription_dagster.settings import Settings, variable_name
from transcription_dagster.stack.programs import STACK_VARIABLE


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("TRANSCRIPTION_MODELL", "did you mean TRANSCRIPTION_MODEL?"),
        ("TRANSCRIPTION_REDCAT", "did you mean TRANSCRIPTION_REDACT?"),
        ("TRANSCRIPTION_SOURCE_DIR", "did you mean TRANSCRIPTION_SOURCE_DIRECTORY?"),
        ("TRANSCRIPTION_COFFEE", "`.env.example` lists all settings"),
    ],
)
def test_a_misspelt_setting_is_reported_with_the_nearest_one(name: str, advice: str) -> None:
    assert list(unknown_settings({name: "x"})) == [f"{name} is not a setting and has no effect; {advice}"]


def test_settings_and_other_programs_variables_are_not_reported() -> None:
    names = [variable_name(field) for field in Settings.model_fields]
    environment = dict.fromkeys([*names, STACK_VARIABLE, "TRANSCRIPTION_TEST_SPEECH", "PATH"], "x")
    assert list(unknown_settings(environment)) == []


@pytest.mark.slow
def test_a_command_reports_a_misspelt_setting_of_its_env_file(tmp_path) -> None:
    (tmp_path / ".env").write_text("TRANSCRIPTION_MODELL=base\n")
    done = subprocess.run(
        [sys.executable, "-m", "transcription_dagster", "vocabulary", "check", "missing.yaml"],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert "TRANSCRIPTION_MODELL is not a setting" in done.stderr
