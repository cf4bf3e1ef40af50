"""The command line of `batch`, up to the point where it needs a stack."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from transcription_dagster.cli.batch.command import batch
from transcription_dagster.cli.batch.lock import worklist_lock

pytestmark = pytest.mark.slow

ONE = "919f49d0-ef35-5e93-b564-e948b9d75f83"


@pytest.fixture
def worklist(tmp_path: Path) -> Path:
    return tmp_path / "worklist.json"


def call(worklist: Path, *options: str) -> Result:
    environment = {"TRANSCRIPTION_HOME": str(worklist.parent / "home")}
    return CliRunner().invoke(batch, [str(worklist), *options], env=environment)


def test_a_worklist_with_problems_is_refused_with_a_line_for_each_before_anything_starts(worklist: Path) -> None:
    worklist.write_text(json.dumps([{"uuid": "x"}, {"uuid": ONE, "source": "gone.wav"}]))
    result = call(worklist)
    assert result.exit_code == 2
    first, second = result.stderr.splitlines()
    assert first.startswith(f"transcription: {worklist}: entry 1: 'x' is not a canonical")
    assert second.startswith(f"transcription: {worklist}: entry 2: `source` 'gone.wav'")
    assert not (worklist.parent / "home").exists()


def test_without_an_argument_the_default_worklist_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    missing = CliRunner().invoke(batch)
    assert missing.exit_code == 2
    assert missing.stderr.splitlines() == [
        "transcription: assets_without_embeddings.json: cannot be read: No such file or directory; "
        "`transcription worklist --without-embeddings` writes it"
    ]
    (tmp_path / "assets_without_embeddings.json").write_text("[]")
    assert CliRunner().invoke(batch).output == "assets_without_embeddings.json: nothing to do\n"


def test_a_worklist_that_another_batch_works_on_is_refused(worklist: Path) -> None:
    worklist.write_text("[]")
    with worklist_lock(worklist):
        result = call(worklist)
    assert (result.exit_code, "another batch is working on it" in result.stderr) == (2, True)


def test_an_unwritable_folder_has_its_own_exit_code(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = call(tmp_path / "file" / "worklist.json")
    assert (result.exit_code, "cannot be written" in result.stderr) == (3, True)


def test_a_missing_worklist_is_refused(worklist: Path) -> None:
    assert call(worklist).exit_code == 2


@pytest.mark.parametrize("entries", [[], [{"uuid": ONE, "status": "done"}]])
def test_a_finished_worklist_is_reported_and_succeeds(worklist: Path, entries: list[object]) -> None:
    worklist.write_text(json.dumps(entries))
    result = call(worklist)
    assert (result.exit_code, result.output) == (0, f"{worklist}: nothing to do\n")


def test_skipped_entries_do_not_count_as_remaining(worklist: Path) -> None:
    worklist.write_text(json.dumps([{"uuid": ONE}]))
    assert call(worklist, "--skip", "1").exit_code == 0


def test_a_model_that_does_not_exist_is_refused_at_once(worklist: Path) -> None:
    worklist.write_text(json.dumps([{"uuid": ONE}]))
    result = call(worklist, "-m", "enormous")
    assert result.exit_code == 2
    assert "'enormous' is neither the path of a model nor a known model" in result.stderr
    assert not (worklist.parent / "home").exists()


@pytest.mark.parametrize("options", [("-t", "0"), ("--skip", "-1"), ("--what",)])
def test_an_invalid_option_is_refused(worklist: Path, options: tuple[str, ...]) -> None:
    worklist.write_text("[]")
    assert call(worklist, *options).exit_code == 2


def test_the_command_starts_without_dagster_and_torch() -> None:
    modules = "import sys, transcription_dagster.cli.batch.command; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", modules], capture_output=True, text=True, check=True).stdout.split()
    assert not {"dagster", "torch", "whisper", "transformers"} & set(loaded)
