from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_dagster.errors import StackError
from transcription_dagster.stack.runtime import runtime_folder


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
