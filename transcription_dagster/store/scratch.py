"""Scratch folders: for files that live as long as a step, and that no step can do without."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transcription_dagster.errors import WorkerUnfit
from transcription_dagster.settings import Settings

#: What is written to see whether the disk takes anything at all.
_TRIAL_BYTES = 1 << 20

#: Errors that are the machine's, whatever was read or written.
_MACHINE_ERRORS = frozenset(
    {errno.EACCES, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENODEV, errno.ENOSPC, errno.EPERM}
    | {errno.EROFS, errno.ESTALE}
)


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """Give a folder for the length of the block.

    Raises `WorkerUnfit` if there can be none, and in the block for errors that are this machine's.
    """
    with machine_errors(), new_folder(settings.scratch_folder) as folder:
        yield folder


@contextmanager
def new_folder(parent: Path) -> Iterator[Path]:
    """Give a folder that is removed at the end of the block. Raises `WorkerUnfit` when there can be none."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise _unusable(parent, error) from error
    with folder as name:
        yield Path(name)


def try_out(folder: Path) -> None:
    """Write a file and remove it. Raises `WorkerUnfit` when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_TRIAL_BYTES))
            file.flush()
    except OSError as error:
        raise _unusable(folder, error) from error


@contextmanager
def machine_errors() -> Iterator[None]:
    """Raise errors of this machine's disks as `WorkerUnfit`: they say nothing about the work."""
    try:
        yield
    except OSError as error:
        if error.errno not in _MACHINE_ERRORS:
            raise
        reason = f"{_reason(error)} ({error.filename})" if error.filename else _reason(error)
        raise WorkerUnfit(f"this machine cannot do the work: {reason}") from error


def _unusable(folder: Path, error: OSError) -> WorkerUnfit:
    return WorkerUnfit(f"the scratch folder {folder} cannot be used: {_reason(error)}")


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
