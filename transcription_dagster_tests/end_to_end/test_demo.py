"""`transcription demo` as a new user calls it: with nothing there, and nothing left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from transcription_dagster.settings import load_settings
from transcription_dagster.stack.stack import running
from transcription_dagster_tests.processes import of_each
from transcription_dagster_tests.system import DEMO, DEMO_RECORDINGS

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("stacks of their own")]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home for one test; a stack that is still up on it afterwards is ended."""
    yield tmp_path / "home"
    left = running(load_settings(home=tmp_path / "home"))
    if left is not None:
        left.stop(abort=lambda: True)


@pytest.mark.timeout(600)
def test_the_demo_transcribes_eight_recordings_on_two_executors_and_ends(home: Path) -> None:
    environment = {**os.environ, "TRANSCRIPTION_HOME": str(home)}
    command = [sys.executable, "-m", "transcription_dagster", "demo"]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=540, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    entries = json.loads((home / "demo" / "worklist.json").read_text())
    assert [entry["status"] for entry in entries] == ["done"] * len(DEMO_RECORDINGS)
    store = home / "store"
    words = (store / entries[0]["uuid"] / "transcript.txt").read_text().split()
    assert " ".join(words) in " ".join(finished.stdout.split())
    assert words[0] == said_first(entries[0]["uuid"])
    assert f"{store.as_uri()}/" in finished.stdout
    commands = of_each(psutil.process_iter(), lambda process: process.cmdline())
    assert not [command for command in commands if any(str(home) in part for part in command)]


def said_first(recording: str) -> str:
    references = json.loads((DEMO / "recordings" / "references.json").read_text())
    return next(entry["text"].split()[0] for entry in references if entry["uuid"] == recording)
