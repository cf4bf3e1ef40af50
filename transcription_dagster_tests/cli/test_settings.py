"""`transcription settings`: the document in force, differences to this machine, and pushing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result


def test_settings_are_pushed_shown_and_compared(
    on_database: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = on_database("settings", "show")
    assert "has no settings yet" in str(empty.exception)

    (tmp_path / "terms.yaml").write_text("- Grafana\n")
    monkeypatch.setenv("TRANSCRIPTION_VOCABULARY", "terms.yaml")
    pushed = on_database("settings", "push")
    assert pushed.exit_code == 0
    assert pushed.output.startswith("Settings: version 1 (")
    assert on_database("settings", "diff").exit_code == 0
    assert on_database("settings", "push").output.endswith("unchanged.\n")

    monkeypatch.setenv("TRANSCRIPTION_MODEL", "large-v3")
    (tmp_path / "terms.yaml").write_text("- Grafana\n- Kafka\n")
    output = on_database("settings", "diff")
    assert output.exit_code == 1
    model, vocabulary = output.output.splitlines()
    assert model == "TRANSCRIPTION_MODEL: large-v3 here, medium in the database"
    assert vocabulary.startswith("TRANSCRIPTION_VOCABULARY: terms.yaml (SHA-256 ")

    assert "  TRANSCRIPTION_MODEL: medium -> large-v3" in on_database("settings", "push").output.splitlines()
    lines = on_database("settings", "show").output.splitlines()
    assert lines[0].startswith("version 2 (")
    assert "TRANSCRIPTION_MODEL=large-v3" in lines
    assert "TRANSCRIPTION_LANGUAGE=not set" in lines
    assert not any("DATABASE_URL" in line for line in lines)
    document = json.loads(on_database("settings", "show", "--json").output)
    assert (document["version"], document["settings"]["vocabulary"]["text"]) == (2, "- Grafana\n- Kafka\n")
