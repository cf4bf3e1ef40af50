"""Tests do not affect the caller's data and are not affected by the caller's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster_tests.isolation import without_the_callers
from transcription_dagster_tests.sample_transcripts import RECORDING

ROOT = Path(__file__).parents[1]
#: Test files to run; both also read settings in subprocesses.
TRIED = ("test_settings.py", "test_isolation.py::test_results_go_to_a_folder_outside_the_callers")

#: Writes a result as one of the program's commands does.
WRITER = f"""
from transcription_dagster.cli.main import load_dotenv
from transcription_dagster.store.object_store import ObjectStore
from transcription_dagster.settings import load_settings
load_dotenv(".env")
ObjectStore(load_settings().store_url).put_bytes("{RECORDING}/child", b"")
"""


def test_results_go_to_a_folder_outside_the_callers():
    assert load_settings() == Settings.model_construct(home=Path.home() / ".transcription")
    ObjectStore(load_settings().store_url).put_bytes(f"{RECORDING}/here", b"")
    subprocess.run([sys.executable, "-c", WRITER], check=True)
    written = {path.name for path in (Path.home() / ".transcription" / "store" / RECORDING).iterdir()}
    assert {"here", "child"} <= written


@pytest.mark.slow
# A single process is the sample.
@pytest.mark.parametrize("processes", ["0", pytest.param("2", marks=pytest.mark.exhaustive)])
def test_the_callers_environment_and_env_file_are_not_touched(processes: str, tmp_path: Path):
    caller = tmp_path / "caller"
    caller.mkdir()
    store, home = caller / "store", caller / "home"
    hostile = {
        "HOME": str(caller),
        "TRANSCRIPTION_HOME": str(home),
        "TRANSCRIPTION_STORE": store.as_uri(),
        "TRANSCRIPTION_DATABASE_URL": "postgresql://caller@127.0.0.1:1/caller",
        "TRANSCRIPTION_MODEL": "large-v3",
        "TRANSCRIPTION_REFINEMENT": "batch",
        "TRANSCRIPTION_EMBEDDER": "caller",
        "ANTHROPIC_API_KEY": "sk-ant-caller",
        "AWS_PROFILE": "caller",
        "AWS_REGION": "caller-1",
        "DAGSTER_HOME": str(home / "dagster"),
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    (caller / ".env").write_text("".join(f"{name}={value}\n" for name, value in hostile.items()))
    before = sorted(caller.rglob("*"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--numprocesses", processes]
    command += ["--config-file", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    tests = [str(ROOT / "transcription_dagster_tests" / test) for test in TRIED]
    ran = subprocess.run(
        [*command, *tests], cwd=caller, env={**os.environ, **hostile}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert sorted(caller.rglob("*")) == before


def test_the_path_of_test_data_is_kept_and_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "speech").mkdir()
    environment = {
        "TRANSCRIPTION_TEST_SPEECH": "speech",
        "TRANSCRIPTION_STORE": "s3://bucket",
        "ib_token": "x",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": "p",
    }
    assert without_the_callers(environment) == {"TRANSCRIPTION_TEST_SPEECH": str(tmp_path / "speech"), "PATH": "p"}
