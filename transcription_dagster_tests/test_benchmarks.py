"""Every benchmark runs at its smallest size, so that changes to the code it calls are noticed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from transcription_dagster_tests.whisper.conftest import BULLETIN, DEMO

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "benchmarks"
BENCHMARKS = {path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}
#: Benchmarks that take minutes, a GPU or a browser even at their smallest size: only their imports are tested.
LONG = {"discovery", "gpu", "identity", "languages", "long_page", "memory", "pool_overhead", "search", "speakers"}
#: The arguments for the smallest sensible size. {speech}: a folder with one short recording and its text.
SMALLEST = {
    "accuracy": f"{{speech}} --model {BULLETIN}",
    "archive": "--recordings 300",
    "engine": f"{{speech}} --model {BULLETIN} --seconds 2 --count 2 --slots 1 2",
    "growth": "--recordings 20 --per-day 10",
    "invention": f"--model {BULLETIN} --only silence",
    "publication": "--recordings 5",
    "run_queue": "--waiting 100 200",
    "second_engine": f"{{speech}} --model {BULLETIN}",
    "text": "--hours 0.05",
    "word_times": f"{{speech}} --model {BULLETIN}",
}

#: Prints how the benchmarks that it is given are called: in one process, for they import the same libraries.
_HELP = """
import runpy, sys
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    try:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
"""


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    entry = json.loads((DEMO / "recordings" / "references.json").read_text(encoding="utf-8"))[0]
    described = entry | {
        "title": "A short recording",
        "language": "en",
        "reference": entry["text"],
        "words": entry["cues"],
    }
    shutil.copy(DEMO / "recordings" / entry["file"], tmp_path)
    (tmp_path / "references.json").write_text(json.dumps([described]), encoding="utf-8")
    return tmp_path


def run(name: str, arguments: Sequence[str]) -> str:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_every_benchmark_is_tested() -> None:
    assert SMALLEST.keys() | LONG == BENCHMARKS


@pytest.mark.parametrize("name", SMALLEST)
def test_a_benchmark_prints_its_result(name: str, speech: Path) -> None:
    assert run(name, SMALLEST[name].format(speech=speech).split()).strip()


def test_the_long_benchmarks_can_be_imported() -> None:
    done = subprocess.run([sys.executable, "-c", _HELP, *sorted(LONG)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("usage:") == len(LONG)
