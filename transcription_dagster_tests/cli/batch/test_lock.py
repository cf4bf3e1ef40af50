"""One batch at a time on a worklist, whichever home or machine it runs from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from transcription_dagster.cli.batch import lock as lock_module
from transcription_dagster.cli.batch.lock import worklist_lock
from transcription_dagster.errors import InvalidWorklist, WorklistNotSaved

#: Holds the lock until its input ends.
HOLD = """
import sys
from pathlib import Path
from transcription_dagster.cli.batch.lock import worklist_lock
with worklist_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worklist.json"


@pytest.fixture
def lock(path: Path) -> Path:
    return path.with_name(".worklist.json.lock")


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_held_lock_is_refused_and_its_holder_is_named(path: Path) -> None:
    process = holder(path)
    message = f"another batch is working on it: process {process.pid} on "
    with pytest.raises(InvalidWorklist, match=message), worklist_lock(path):
        pass
    process.communicate()
    with worklist_lock(path):
        pass


def test_a_killed_process_releases_its_lock(path: Path) -> None:
    process = holder(path)
    process.kill()
    process.communicate()
    with worklist_lock(path):
        assert json.loads((path.parent / ".worklist.json.lock").read_text())["pid"] == os.getpid()


def test_the_lock_file_is_removed_after_use(path: Path) -> None:
    with worklist_lock(path):
        assert os.listdir(path.parent) == [".worklist.json.lock"]
    assert os.listdir(path.parent) == []


def test_a_lock_does_not_affect_other_worklists(path: Path) -> None:
    with worklist_lock(path), worklist_lock(path.with_name("other.json")):
        assert sorted(os.listdir(path.parent)) == [".other.json.lock", ".worklist.json.lock"]


def elsewhere(lock: Path, beat: int) -> None:
    """Write the lock file of a batch on another machine, whose pid also exists here, such as init's."""
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "boot": "another", "beat": beat, "token": "t"}))


def test_a_live_holder_on_another_machine_is_respected(path: Path, lock: Path) -> None:
    elsewhere(lock, 0)
    stop = threading.Event()

    def beat() -> None:
        count = 1
        while not stop.wait(0.05):
            with lock.open("r+") as file:
                file.write(json.dumps({"host": "elsewhere", "pid": 1, "boot": "another", "beat": count, "token": "t"}))
            count += 1

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(InvalidWorklist, match="process 1 on elsewhere"), worklist_lock(path, stale_seconds=30):
            pass
    finally:
        stop.set()
        thread.join()


def test_a_holder_without_updates_is_dead_whatever_its_pid(path: Path, lock: Path) -> None:
    elsewhere(lock, 7)
    with worklist_lock(path, stale_seconds=0.5):
        assert json.loads(lock.read_text())["pid"] == os.getpid()


def test_without_kernel_locks_the_file_alone_decides(path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lock_module.fcntl, "flock", no_locks)
    monkeypatch.setattr(lock_module, "BEAT_SECONDS", 0.05)
    message = f"process {os.getpid()} on "
    with worklist_lock(path), pytest.raises(InvalidWorklist, match=message), worklist_lock(path, stale_seconds=30):
        pass
    assert not lock.exists()


def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    worklist, message = tmp_path / "file" / "worklist.json", "its folder cannot be written: Not a directory"
    with pytest.raises(WorklistNotSaved, match=message), worklist_lock(worklist):
        pass
