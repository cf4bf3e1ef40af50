"""Every benchmark runs at its smallest size, so that changes to the code it calls are noticed."""

from __future__ import annotations

import importlib
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from transcription_dagster_tests.whisper.conftest import BULLETIN, DEMO

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "benchmarks"
BENCHMARKS = {path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}
#: Benchmarks that take minutes, a GPU or a browser even at their smallest size: only their imports are tested.
LONG = {"discovery", "gpu", "identity", "languages", "long_page", "memory", "pool_overhead", "speakers"}
#: The arguments for the smallest sensible size. {speech}: a folder with one short recording and its text.
SMALLEST = {
    "accuracy": f"{{speech}} --model {BULLETIN}",
    "archive": "--recordings 300",
    "engine": f"{{speech}} --model {BULLETIN} --seconds 2 --count 2 --slots 1 2",
    "growth": "--recordings 20 --per-day 10",
    "invention": f"--model {BULLETIN} --only silence",
    "publication": "--recordings 5",
    "run_queue": "--waiting 100 200",
    "search": "--chunks 1000 --per-recording 5 --queries 2",
    "second_engine": f"{{speech}} --model {BULLETIN}",
    "text": "--hours 0.05",
    "word_times": f"{{speech}} --model {BULLETIN}",
}


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


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """Run a benchmark in this process, which has already imported torch and Dagster, and return what it prints."""

    def printed(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        importlib.import_module(f"benchmarks.{name}").main()
        return capsys.readouterr().out

    dagsters = logging.getLogger("dagster")
    level = dagsters.level
    yield printed
    dagsters.setLevel(level)


def test_every_benchmark_is_tested() -> None:
    assert SMALLEST.keys() | LONG == BENCHMARKS


#: The benchmarks that `make test` runs as a sample of all.
SAMPLES = ("engine", "publication", "text")


@pytest.mark.parametrize(
    "name", [name if name in SAMPLES else pytest.param(name, marks=pytest.mark.exhaustive) for name in SMALLEST]
)
def test_a_benchmark_prints_its_result(name: str, speech: Path, run: Callable[..., str]) -> None:
    assert run(name, *SMALLEST[name].format(speech=speech).split()).strip()


@pytest.mark.parametrize("name", sorted(LONG))
def test_a_long_benchmark_can_be_imported_and_explains_itself(
    name: str, run: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(name, "--help")
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out
