"""The folder for sockets: private, and short enough for a Unix socket address."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from transcription_dagster.errors import StackError

#: The strictest systems allow 103 bytes in a socket address; the difference is for names below the folder.
_LONGEST_PATH = 60


def runtime_folder(home: Path) -> Path:
    """Return the private folder for this home's sockets, creating it if necessary.

    It is `home/run`. If that path is too long for a socket, `home/run` links to a short temporary folder, so that
    every process finds the same place.

    Raises `StackError` if the folder belongs to another user, who could impersonate our servers.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    named = home / "run"
    folder = Path(os.path.realpath(named))
    if not folder.is_dir():
        if len(os.fsencode(folder)) <= _LONGEST_PATH and not named.is_symlink():
            named.mkdir(mode=0o700, exist_ok=True)
        else:
            _link_to_short_folder(named)
        folder = Path(os.path.realpath(named))
    _refuse_strangers(folder)
    return folder


def _link_to_short_folder(named: Path) -> None:
    """Make `named` a link to a new folder, replacing a link whose folder was cleaned up."""
    named.unlink(missing_ok=True)
    short = tempfile.mkdtemp(prefix="transcription-")
    try:
        named.symlink_to(short)
    except FileExistsError:  # another process was faster: use its folder
        os.rmdir(short)


def _refuse_strangers(folder: Path) -> None:
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StackError(f"{folder} is writable by another user; remove it and start again")
