from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from transcription_dagster.errors import InvalidSetting
from transcription_dagster.settings import Settings, child_environment, load_settings
from transcription_dagster.shared_settings import SCOPES, SettingScope
from transcription_dagster_tests.isolation import TEST_DATA

SECRET = "planted-secret"

EVERY_KIND: dict[str, object] = {
    "home": Path("/srv/a folder"),
    "database_url": f"postgresql://user:{SECRET}@host/db",
    "language": "de",
    "beam_size": 5,
    "temperatures": (0.0, 0.4),
    "condition_on_previous_text": False,
    "initial_prompt": 'Say "hello", 100 %',
    "vocabulary": Path("terms.yaml"),
    "gpus": "0,1",
    "shutdown_seconds": 12.5,
    "port": 4000,
    "ui_password": SECRET,
    "ui_hosts": ("speech.example.org", "other.example.org:8443", "[::1]:3000"),
    "source_folders": (Path("/a"), Path("/b c")),
    "source_hosts": ("one.example", "http://two.example:8000"),
}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Clear all settings from the environment, without a `.env`."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TRANSCRIPTION_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("field", EVERY_KIND)
def test_a_child_process_works_with_the_same_setting(field: str, monkeypatch: pytest.MonkeyPatch):
    settings = load_settings(**{field: EVERY_KIND[field]})
    for name, value in child_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_defaults_are_not_passed_to_a_child_process():
    passed = {name for name in child_environment(load_settings()) if name.startswith("TRANSCRIPTION_")}
    assert {name for name in passed if not name.startswith(TEST_DATA)} == set()


def test_cudas_own_selection_keeps_its_name():
    settings = load_settings(CUDA_VISIBLE_DEVICES="2,3")
    assert settings.cuda_visible_devices == "2,3"
    assert child_environment(settings)["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_every_setting_is_classified():
    assert set(SCOPES) == set(Settings.model_fields), "enter a new setting into the lists of shared_settings.py"


def test_settings_that_can_hold_a_secret_are_classified_as_secret():
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in repr(field.annotation)}
    assert secret == {name for name, scope in SCOPES.items() if scope is SettingScope.SECRET}


def test_a_bad_value_is_named_by_its_variable():
    with pytest.raises(InvalidSetting, match=r"^TRANSCRIPTION_PORT: "):
        load_settings(port=70000)


@pytest.mark.parametrize("name", ["https://speech.example.org", "a/b", "a b", "user@a", "a:port", "*.example.org"])
def test_a_ui_host_must_be_a_name_not_a_url(name: str):
    with pytest.raises(InvalidSetting, match=r"^TRANSCRIPTION_UI_HOSTS: .* is not of the form name or name:port"):
        load_settings(ui_hosts=name)


def test_an_empty_password_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRANSCRIPTION_UI_PASSWORD", "")
    with pytest.raises(InvalidSetting, match=r"^TRANSCRIPTION_UI_PASSWORD: "):
        load_settings()


def test_an_error_does_not_quote_values():
    with pytest.raises(InvalidSetting) as caught:
        load_settings(database_url=[SECRET], port=SECRET)
    assert SECRET not in str(caught.value)


def test_the_console_script_reads_the_env_file_for_other_libraries_too(tmp_path: Path):
    (tmp_path / ".env").write_text("ANTHROPIC_API_KEY=from-the-file\nIB_TOKEN=from-the-file\n")
    script = (
        "import os, sys\nfrom transcription_dagster.cli.main import main\nsys.argv = ['transcription', '--version']\n"
        "try:\n    main()\nfinally:\n    print(os.environ['ANTHROPIC_API_KEY'], os.environ['IB_TOKEN'])"
    )
    environment = {**os.environ, "IB_TOKEN": "from-the-environment"}
    environment.pop("ANTHROPIC_API_KEY", None)
    printed = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert printed.stdout.splitlines()[-1] == "from-the-file from-the-environment"


def test_settings_are_read_again_when_the_environment_or_the_file_changes(monkeypatch: pytest.MonkeyPatch):
    assert load_settings() is load_settings()
    monkeypatch.setenv("TRANSCRIPTION_LANGUAGE", "de")
    assert load_settings().language == "de"
    monkeypatch.delenv("TRANSCRIPTION_LANGUAGE")
    assert load_settings().language is None
    Path(".env").write_text("TRANSCRIPTION_LANGUAGE=fr\n")
    assert load_settings().language == "fr"
    Path(".env").write_text("TRANSCRIPTION_LANGUAGE=cym\n")
    assert load_settings().language == "cy"


@pytest.mark.parametrize("value", ["off", "auto", "1", "2", "12", "2-4"])
def test_speakers_can_be_off_automatic_or_a_number(value: str) -> None:
    assert load_settings(speakers=value).speakers == value


@pytest.mark.parametrize("value", ["", "on", "0", "-1", "4-2", "0-3", "2-", "100", "2.5", "²"])
def test_invalid_numbers_of_speakers_are_refused(value: str) -> None:
    with pytest.raises(InvalidSetting, match=r"TRANSCRIPTION_SPEAKERS: .*(is not off, auto|at least 1)"):
        load_settings(speakers=value)


def test_names_can_be_redacted_by_comprehend_or_presidio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIPTION_REDACT", "card,name")
    monkeypatch.setattr("transcription_dagster.settings.presidio_installed", lambda: False)
    with pytest.raises(InvalidSetting, match=r"needs comprehend or Presidio: pip install '.+\[presidio"):
        load_settings()
    monkeypatch.setenv("TRANSCRIPTION_INSIGHTS", "comprehend")
    assert load_settings().redact == ("card", "name")
    monkeypatch.delenv("TRANSCRIPTION_INSIGHTS")
    monkeypatch.setattr("transcription_dagster.settings.presidio_installed", lambda: True)
    assert load_settings().redact == ("card", "name")
