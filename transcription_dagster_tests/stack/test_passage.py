from __future__ import annotations

import os
import pwd
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from transcription_dagster.errors import StackError
from transcription_dagster.settings import load_settings
from transcription_dagster.stack.postgres import AclEntry, allow_passage, embedded_postgres, with_passage
from transcription_dagster_tests.stack.test_postgres import SECRET

pytestmark = pytest.mark.slow

OWNER, USER, OWNING_GROUP, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def private() -> Iterator[Path]:
    """Provide a closed folder inside an open one, with a file that only the folder protects."""
    with tempfile.TemporaryDirectory(prefix="transcription-test-") as name:
        folder = Path(name)
        folder.chmod(0o700)
        secret = folder / ".env"
        secret.write_text(SECRET)
        secret.chmod(0o644)
        yield folder


def can(user: str, *command: str | Path) -> bool:
    """Return whether a command works for a system user."""
    number = pwd.getpwnam(user).pw_uid
    completed = subprocess.run(
        command, user=number, group=number, extra_groups=[], cwd="/", capture_output=True, check=False
    )
    return completed.returncode == 0


@as_root
def test_only_postgres_can_traverse_a_private_folder(private: Path):
    home = private / "deeper" / "home"
    for _ in range(2):
        with embedded_postgres(load_settings(home=home)) as url, psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    for folder in (private, home, home / "run"):
        assert stat.S_IMODE(folder.stat().st_mode) & stat.S_IRWXO == 0
        assert not can("pgserver", "ls", folder)
    assert can("pgserver", "stat", home)
    assert not can("nobody", "stat", home)
    assert not can("nobody", "cat", private / ".env")


@as_root
def test_a_server_created_in_an_open_folder_works_when_it_is_closed(private: Path):
    private.chmod(0o711)
    settings = load_settings(home=private / "home")
    with embedded_postgres(settings) as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
    private.chmod(0o700)
    with embedded_postgres(settings) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (7,)
    assert not can("nobody", "cat", private / ".env")


@as_root
def test_a_traversable_folder_is_left_as_it_is(private: Path):
    private.chmod(0o711)
    allow_passage(private / "x", pwd.getpwnam("nobody").pw_uid)
    assert os.listxattr(private) == []


@as_root
def test_without_access_control_lists_the_error_gives_a_solution(monkeypatch: pytest.MonkeyPatch, private: Path):
    def refuse(*_arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    # The error of a file system without access control lists; none can be mounted here.
    monkeypatch.setattr(os, "setxattr", refuse)
    with pytest.raises(StackError, match=rf"through {private}, .*not supported.*set TRANSCRIPTION_HOME"):
        allow_passage(private / "x", 12345)


def test_other_permissions_stay_the_same():
    plain = [AclEntry(OWNER, 7), AclEntry(OWNING_GROUP, 4), AclEntry(OTHER, 0)]
    entries = [
        AclEntry(OWNER, 7),
        AclEntry(USER, 1, 99),
        AclEntry(OWNING_GROUP, 4),
        AclEntry(MASK, 5),
        AclEntry(OTHER, 0),
    ]
    assert with_passage(plain, 99) == entries
    assert with_passage(entries, 99) == entries


def test_permissions_hidden_by_a_mask_stay_hidden():
    entries = [
        *(AclEntry(OWNER, 7), AclEntry(USER, 7, 50), AclEntry(USER, 6, 99), AclEntry(OWNING_GROUP, 5)),
        *(AclEntry(GROUP, 1, 60), AclEntry(MASK, 4), AclEntry(OTHER, 0)),
    ]
    assert with_passage(entries, 99) == [
        *(AclEntry(OWNER, 7), AclEntry(USER, 4, 50), AclEntry(USER, 5, 99), AclEntry(OWNING_GROUP, 4)),
        *(AclEntry(GROUP, 0, 60), AclEntry(MASK, 5), AclEntry(OTHER, 0)),
    ]
