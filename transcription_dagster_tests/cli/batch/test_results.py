"""Keeping a batch's results: throttled saves, a journal of unsaved results, and full disks."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from transcription_dagster.cli.batch.results import DurableResults
from transcription_dagster.errors import WorklistNotSaved
from transcription_dagster.sources.worklists import load

UUIDS = [f"00000000-0000-0000-0000-{number:012}" for number in range(4)]
NOW = datetime(2026, 11, 25, tzinfo=UTC)


class Clock:
    """A clock that the test advances; each save takes `save_seconds` on it."""

    def __init__(self, save_seconds: float) -> None:
        self.now = 0.0
        self.saves: list[float] = []
        self._save_seconds = save_seconds

    def slow_saves(self, monkeypatch: pytest.MonkeyPatch, worklist: object) -> None:
        real = worklist.save  # type: ignore[attr-defined]

        def save() -> None:
            self.saves.append(self.now)
            self.now += self._save_seconds
            real()

        monkeypatch.setattr(worklist, "save", save)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lists" / "worklist.json"
    path.parent.mkdir()
    path.write_text(json.dumps([{"uuid": key} for key in UUIDS]))
    return path


def durable_results(path: Path, home: Path, notes: list[str] | None = None) -> DurableResults:
    return DurableResults(load(path), home, note=([] if notes is None else notes).append)


def statuses(path: Path) -> list[str | None]:
    return [entry.get("status") for entry in json.loads(path.read_text())]


def test_saves_take_less_than_a_hundredth_of_the_time(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, worklist = Clock(save_seconds=2.7), load(path)
    clock.slow_saves(monkeypatch, worklist)
    results = DurableResults(worklist, tmp_path, note=print, clock=lambda: clock.now)
    for look in range(3600):
        results.record_done(UUIDS[look % 4], [], NOW)
        results.save()
        clock.now += 1
    assert len(clock.saves) * 2.7 <= 0.01 * clock.now + 2.7
    assert len(clock.saves) > 10


def test_unsaved_results_are_found_by_the_next_batch_after_a_kill(path: Path, tmp_path: Path) -> None:
    killed = durable_results(path, tmp_path)
    killed.save()
    killed.record_done(UUIDS[1], ["file:///a"], NOW)
    killed.record_failed(UUIDS[2], "why", NOW)
    killed.save()
    assert statuses(path) == [None] * 4
    recovered = durable_results(path, tmp_path / "another home")
    assert [entry.status for entry in recovered.entries] == ["waiting", "done", "failed", "waiting"]
    recovered.save()
    assert statuses(path) == [None, "done", "failed", None]
    assert os.listdir(path.parent) == [path.name]


def test_a_truncated_line_is_skipped(path: Path, tmp_path: Path) -> None:
    killed = durable_results(path, tmp_path)
    killed.save()
    killed.record_done(UUIDS[0], [], NOW)
    killed.save()
    with (path.parent / f".{path.name}.results").open("a") as file:
        file.write('{"uuid": "')
    assert [entry.status for entry in durable_results(path, tmp_path).entries] == [
        "done",
        "waiting",
        "waiting",
        "waiting",
    ]


def test_the_last_save_always_happens(path: Path, tmp_path: Path) -> None:
    results = durable_results(path, tmp_path)
    results.save()
    results.record_done(UUIDS[3], [], NOW)
    results.save()
    assert results.finish() is None
    assert statuses(path) == [None, None, None, "done"]
    assert os.listdir(path.parent) == [path.name]


def test_a_temporarily_invalid_worklist_loses_no_results(path: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    results = durable_results(path, tmp_path, notes)
    results.save()
    results.record_done(UUIDS[0], [], NOW)
    whole = path.read_text()
    path.write_text("[{")
    unsaved = results.finish()
    assert unsaved is not None
    assert "not JSON" in unsaved
    assert str(path.parent / f".{path.name}.results") in unsaved
    assert path.read_text() == "[{"
    path.write_text(whole)
    assert durable_results(path, tmp_path).entries[0].status == "done"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Provide a folder on a file system of 64 kB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> Path:
    """Fill a folder's file system; return the file to remove."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def test_on_a_full_disk_results_are_kept_in_the_home_and_taken_over_later(small_disk: Path, tmp_path: Path) -> None:
    path = small_disk / "worklist.json"
    path.write_text(json.dumps([{"uuid": key} for key in UUIDS]))
    notes: list[str] = []
    results = durable_results(path, tmp_path / "home", notes)
    results.save()
    filler = fill(small_disk)
    results.record_done(UUIDS[0], ["file:///a"], NOW)
    unsaved = results.finish()
    assert unsaved is not None
    assert "No space left on device" in unsaved
    assert str(tmp_path / "home" / "unsaved") in unsaved
    assert statuses(path) == [None] * 4
    filler.unlink()
    recovered = durable_results(path, tmp_path / "home")
    recovered.save()
    assert statuses(path) == ["done", None, None, None]


def test_a_full_disk_stops_a_batch_before_anything_starts(small_disk: Path, tmp_path: Path) -> None:
    path = small_disk / "worklist.json"
    path.write_text(json.dumps([{"uuid": key} for key in UUIDS]))
    fill(small_disk)
    results = durable_results(path, tmp_path)
    results.record_waiting(UUIDS[0])
    with pytest.raises(WorklistNotSaved, match="No space left"):
        results.save()
