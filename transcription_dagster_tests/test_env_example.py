from __future__ import annotations

import re
from pathlib import Path

import pytest
from dotenv import dotenv_values

from transcription_dagster.settings import Settings

EXAMPLE = Path(__file__).parents[1] / ".env.example"

#: Set by the program for its child processes, or by operators who run several programs on one GPU.
NOT_IN_A_FILE = {"inference", "cuda_visible_devices"}
FOREIGN = {"ANTHROPIC_API_KEY", "IB_TOKEN", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


@pytest.fixture
def uncommented(tmp_path: Path) -> Path:
    """Return the example with every setting uncommented."""
    path = tmp_path / ".env"
    path.write_text(re.sub(r"^# (?=[A-Z0-9_]+=)", "", EXAMPLE.read_text(), flags=re.MULTILINE))
    return path


def test_it_names_every_setting_and_no_other(uncommented: Path):
    expected = {f"TRANSCRIPTION_{name.upper()}" for name in Settings.model_fields if name not in NOT_IN_A_FILE}
    assert set(dotenv_values(uncommented)) == expected | FOREIGN


def test_unchanged_it_sets_nothing():
    assert dotenv_values(EXAMPLE) == {}


def test_its_values_are_the_defaults(uncommented: Path, monkeypatch: pytest.MonkeyPatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TRANSCRIPTION_{name.upper()}", raising=False)
    example = Settings(_env_file=uncommented)  # type: ignore[call-arg]  # pydantic-settings' own argument
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        if default not in (None, ()):
            assert getattr(example, name) == default, name
