"""The folder for sockets: private, and short enough for the length limit of a Unix socket's address."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from transcription_dagster.errors import StackError

#: A socket's address may have 103 bytes on the systems with the least; the rest is for the names below the folder.
_LONGEST_PATH = 60


def runtime_folder(home: Path) -> Path:
    """Return the folder for the sockets of this home, made if it is missing, open to its owner alone.

    It is `home/run`. Where that path is too long for a socket, `home/run` is a link to a short folder among the
    system's temporary ones, so that every process finds the same place.

    Raises `StackError` if what is there belongs to somebody else, who could then answer in our name.
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
    """Make `named` a link to a fresh folder; it replaces one whose folder was cleaned away."""
    named.unlink(missing_ok=True)
    short = tempfile.mkdtemp(prefix="transcription-")
    try:
        named.symlink_to(short)
    except FileExistsError:  # another process was faster: its folder is the one to use
        os.rmdir(short)


def _refuse_strangers(folder: Path) -> None:
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StackError(f"{folder} can be written by somebody else: remove it and start again")
