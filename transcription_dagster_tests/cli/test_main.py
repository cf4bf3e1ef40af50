from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from transcription_dagster.cli.main import COMMANDS, main, transcription, unknown_settings
from transcription_dagster.settings import Settings, variable_name
from transcription_dagster.stack.programs import STACK_VARIABLE


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_exists_and_has_help(name: str) -> None:
    command = transcription.get_command(click.Context(transcription), name)
    assert isinstance(command, click.Command)
    assert command.get_short_help_str()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the console script in a folder with captions and a correction; return its only line of error."""
    monkeypatch.chdir(tmp_path)
    Path("a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nThe gait is shut.\n")
    Path("a.txt").write_text("The gate is shut.")

    def error_line(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["transcription", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 1
        output = capsys.readouterr()
        assert output.out == ""
        return output.err.removesuffix("\n")

    return error_line


def test_a_file_or_disk_that_fails_ends_with_one_line(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("broken.srt").write_text("1\n00:00:01 -> 00:00:02\n")
    assert run("apply-corrections", "broken.srt", "a.txt").startswith("transcription: the captions: line ")
    # The rest of the buffer cannot be written at exit either.
    with contextlib.suppress(OSError), open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run("apply-corrections", "a.srt", "a.txt") == "transcription: No space left on device"
    monkeypatch.setattr(sys, "stdout", None)
    assert run("apply-corrections", "a.srt", "a.txt") == "transcription: standard output is closed"


@pytest.mark.parametrize("content", [b"A=\xff\n", b"A=x\0y\n"])
def test_a_broken_env_file_is_named(run: Callable[..., str], content: bytes) -> None:
    Path(".env").write_bytes(content)
    assert run("apply-corrections", "a.srt", "a.txt").startswith("transcription: .env cannot be read: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("apply-corrections", "a.srt", "a.txt", "--encoding", "rot13"),
        ("apply-corrections", "a.srt", "a.txt", "--encoding", "base64"),
        ("format", "a.srt", "--frame-rate", "nan"),
        ("format", "a.srt", "--reading-speed", "nan"),
        ("prune", "--older-than", "nan"),
        ("prune", "--older-than", "inf"),
        ("apply-corrections", "a.srt", "a.txt", "-o", "missing/b.srt"),
        ("apply-corrections", "a.srt", "a.txt", "-o", "b.sub"),
        ("transcribe", "a.srt", "-o", "missing/b.srt"),
        ("transcribe", "a.srt", "-o", "b.docx"),
        ("format", "a.srt", "-o", "b.docx"),
        ("refine", "a.srt", "-o", "b.docx"),
    ],
)
def test_an_unusable_option_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.srt", "a.txt"):
        Path(name).write_text("text")
    result = CliRunner().invoke(transcription, arguments)
    assert result.exit_code == 2
    assert "Invalid value" in result.output


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
    result = subprocess.run(
        [sys.executable, "-m", "transcription_dagster", "vocabulary", "check", "missing.yaml"],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert "TRANSCRIPTION_MODELL is not a setting" in result.stderr
