"""The home of an installation: its private folder, Dagster's configuration, and its log files."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import dagster
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.workspace.load_target import WorkspaceFileTarget

from transcription_dagster.errors import StackError
from transcription_dagster.settings import load_settings
from transcription_dagster.stack.home import (
    dagster_home,
    open_home,
    remove_log_records,
    runtime_folder,
    write_dagster_files,
)

TOP = Path(__file__).parents[2]


def test_dagster_accepts_the_written_files(home: Path):
    files = write_dagster_files(load_settings(home=home))
    assert files.dagster_home == dagster_home(load_settings(home=home)) == home / "dagster"
    config, custom = dagster_instance_config(str(files.dagster_home))
    assert custom is None
    assert config["run_coordinator"]["class"] == "GpuRunCoordinator"
    assert config["run_launcher"]["class"] == "WorkerPoolRunLauncher"
    (origin,) = WorkspaceFileTarget([str(files.workspace)]).create_origins()
    assert isinstance(origin, GrpcServerCodeLocationOrigin)
    assert (origin.location_name, origin.socket) == ("transcription_dagster", str(files.code_socket))


def test_files_of_an_older_version_are_replaced(home: Path):
    files = write_dagster_files(load_settings(home=home))
    (files.dagster_home / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    write_dagster_files(load_settings(home=home))
    shipped = TOP / "transcription_dagster" / "stack" / "dagster.yaml"
    assert (files.dagster_home / "dagster.yaml").read_text() == shipped.read_text()


def test_the_project_and_the_stack_serve_the_same_module_under_the_same_name():
    (entry,) = yaml.safe_load((TOP / "workspace.yaml").read_text())["load_from"]
    assert entry["python_module"] == {
        "module_name": "transcription_dagster.definitions",
        "location_name": "transcription_dagster",
    }


def test_the_instance_needs_the_database_from_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRANSCRIPTION_DATABASE_URL", raising=False)
    files = write_dagster_files(load_settings(home=home))
    with pytest.raises(Exception, match="TRANSCRIPTION_DATABASE_URL"):
        _ = dagster.DagsterInstance.from_config(str(files.dagster_home)).run_storage


LOG = """2026-11-30 10:00:00 INFO worker: took quokka
2026-11-30 10:00:01 ERROR worker: failed
Traceback (most recent call last):
  File "a.py", line 1
ValueError: quokkas yodel gently
2026-11-30 10:00:02 INFO worker: took wombat
INFO:     127.0.0.1 - "GET /transcripts/quokka HTTP/1.1" 200 OK
INFO:     127.0.0.1 - "GET /health HTTP/1.1" 200 OK
2026-11-30T10:00:03Z the end, without a line break"""
KEPT = """2026-11-30 10:00:02 INFO worker: took wombat
INFO:     127.0.0.1 - "GET /health HTTP/1.1" 200 OK
2026-11-30T10:00:03Z the end, without a line break"""


def test_matching_records_are_removed_with_their_tracebacks(tmp_path: Path) -> None:
    log = tmp_path / "run-1.log"
    log.write_text(LOG)
    assert remove_log_records(tmp_path, ["quokka", "quokkas yodel gently"]) == 3
    assert log.read_text() == KEPT


def test_rotated_logs_are_searched_and_other_files_and_records_are_left_alone(tmp_path: Path) -> None:
    rotated, notes, untouched = tmp_path / "gpu-0.log.3", tmp_path / "notes.txt", tmp_path / "web.log"
    rotated.write_text("lines from before a rotation\nquokka\n" + LOG)
    notes.write_text("quokka")
    untouched.write_text(KEPT)
    written = untouched.stat().st_mtime_ns
    assert remove_log_records(tmp_path, ["quokka"]) == 4
    assert (rotated.read_text(), notes.read_text()) == (KEPT, "quokka")
    assert untouched.stat().st_mtime_ns == written


def test_programs_keep_writing_to_a_rewritten_log(tmp_path: Path) -> None:
    log = tmp_path / "run-1.log"
    with log.open("a") as program:
        program.write("2026-11-30 10:00:00 quokka\n")
        program.flush()
        assert remove_log_records(tmp_path, ["quokka"]) == 1
        program.write("2026-11-30 10:00:01 wombat\n")
    assert log.read_text() == "2026-11-30 10:00:01 wombat\n"


def test_bytes_that_are_not_utf_8_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    log.write_bytes(b"2026-11-30 \xff\xfe\n2026-11-30 quokka\n")
    remove_log_records(tmp_path, ["quokka"])
    assert log.read_bytes() == b"2026-11-30 \xff\xfe\n"


def test_a_home_without_logs_has_none(tmp_path: Path) -> None:
    assert remove_log_records(tmp_path / "logs", ["quokka"]) == 0


@pytest.fixture
def long_home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / ("long" * 20)
    yield home
    if home.exists():
        shutil.rmtree(runtime_folder(home))


def test_the_folder_is_in_the_home_and_private(home: Path):
    folder = runtime_folder(home)
    assert folder == home / "run"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_long_home_gets_a_short_private_folder_that_every_process_finds(long_home: Path):
    folder = runtime_folder(long_home)
    assert len(os.fsencode(folder)) <= 60
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert runtime_folder(long_home) == folder


def test_a_deleted_short_folder_is_created_again(long_home: Path):
    shutil.rmtree(runtime_folder(long_home))
    assert runtime_folder(long_home).is_dir()


def test_a_folder_that_others_can_write_is_refused(home: Path):
    runtime_folder(home).chmod(0o777)
    with pytest.raises(StackError, match="is writable by another user"):
        runtime_folder(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(home: Path):
    os.chown(runtime_folder(home), 12345, 12345)
    with pytest.raises(StackError, match="is writable by another user"):
        runtime_folder(home)


def test_a_home_that_is_made_is_private(home: Path):
    runtime_folder(home / "new")
    assert stat.S_IMODE((home / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize(("before", "after"), [(0o755, 0o750), (0o777, 0o770), (0o2751, 0o2750), (0o700, 0o700)])
def test_a_home_that_another_program_made_is_closed_to_all_but_its_owner_and_group(
    home: Path, before: int, after: int
) -> None:
    home.chmod(before)
    open_home(home)
    assert stat.S_IMODE(home.stat().st_mode) == after


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_home_of_another_user_keeps_its_rights(home: Path) -> None:
    os.chown(home, 12345, 12345)
    home.chmod(0o755)
    open_home(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o755
