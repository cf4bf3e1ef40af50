"""`transcription demo` as a new user runs it: it starts from nothing and leaves no process running."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from rapidfuzz.distance import Levenshtein

import transcription_dagster
from transcription_dagster.settings import load_settings
from transcription_dagster.stack.stack import running
from transcription_dagster_tests.processes import of_each

RECORDINGS = Path(transcription_dagster.__file__).parent / "demo" / "recordings"

# `make demo` is the whole of it; `one_stack/test_pool.py` takes recordings the same way with a small model.
pytestmark = [pytest.mark.system, pytest.mark.exhaustive, pytest.mark.xdist_group("demo")]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Provide a home for one test, and end a stack that still runs on it afterwards."""
    yield tmp_path / "home"
    stack = running(load_settings(home=tmp_path / "home"))
    if stack is not None:
        stack.stop(abort=lambda: True)


def test_the_demo_transcribes_real_speech_answers_a_question_and_ends(home: Path) -> None:
    environment = {**os.environ, "TRANSCRIPTION_HOME": str(home)}
    command = [sys.executable, "-m", "transcription_dagster", "demo", "--quick"]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=540, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    entries = json.loads((home / "demo" / "worklist.json").read_text())
    assert [entry["status"] for entry in entries] == ["done"] * 3
    store = home / "store"
    for entry in entries:
        text = (store / entry["uuid"] / "transcript.txt").read_text()
        assert Levenshtein.normalized_similarity(words(text), words(said(entry["uuid"]))) > 0.9
    output = " ".join(finished.stdout.split())
    assert " ".join((store / entries[0]["uuid"] / "transcript.txt").read_text().split())[:80] in output
    assert "1. Weather and ferries" in output
    assert f"{store.as_uri()}/" in finished.stdout
    commands = of_each(psutil.process_iter(), lambda process: process.cmdline())
    assert not [command for command in commands if any(str(home) in part for part in command)]


def said(recording: str) -> str:
    references = json.loads((RECORDINGS / "references.json").read_text(encoding="utf-8"))
    return next(entry["text"] for entry in references if entry["uuid"] == recording)


def words(text: str) -> list[str]:
    """Return the words of a text without punctuation; its letters in a script without spaces."""
    bare = re.sub(r"[^\w\s]", "", text.lower())
    return bare.split() if " " in bare.strip() else list(bare.strip())
