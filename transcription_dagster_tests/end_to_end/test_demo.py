"""`transcription demo` as a new user calls it: with nothing there, and nothing left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from transcription_dagster_tests.system import DEMO, DEMO_RECORDINGS

pytestmark = pytest.mark.system


def test_the_demo_transcribes_eight_recordings_on_two_executors_and_ends(tmp_path: Path) -> None:
    environment = {**os.environ, "TRANSCRIPTION_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "transcription_dagster", "demo"]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    entries = json.loads((tmp_path / "home" / "demo" / "worklist.json").read_text())
    assert [entry["status"] for entry in entries] == ["done"] * len(DEMO_RECORDINGS)
    store = tmp_path / "home" / "store"
    words = (store / entries[0]["uuid"] / "transcript.txt").read_text().split()
    assert " ".join(words) in " ".join(finished.stdout.split())
    assert words[0] == said_first(entries[0]["uuid"])
    assert f"{store.as_uri()}/" in finished.stdout
    assert not [process for process in psutil.process_iter() if belongs_to(process, tmp_path)]


def said_first(recording: str) -> str:
    references = json.loads((DEMO / "recordings" / "references.json").read_text())
    return next(entry["text"].split()[0] for entry in references if entry["uuid"] == recording)


def belongs_to(process: psutil.Process, folder: Path) -> bool:
    try:
        return any(str(folder) in part for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False
