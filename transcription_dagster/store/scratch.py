"""Scratch folders: temporary files that live as long as a step."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transcription_dagster.errors import WorkerUnfit
from transcription_dagster.settings import Settings

#: Written to check that the disk accepts data.
_TRIAL_BYTES = 1 << 20

#: Errors that are the machine's fault, whatever file is involved.
_MACHINE_ERRORS = frozenset(
    {errno.EACCES, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENODEV, errno.ENOSPC, errno.EPERM}
    | {errno.EROFS, errno.ESTALE}
)


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """Provide a folder for the duration of the block.

    Raises `WorkerUnfit` if it cannot be created, and in place of this machine's own disk errors in the block.
    """
    with machine_errors(), new_folder(settings.scratch_folder) as folder:
        yield folder


@contextmanager
def new_folder(parent: Path) -> Iterator[Path]:
    """Provide a folder that is removed after the block. Raises `WorkerUnfit` if it cannot be created."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise _unusable(parent, error) from error
    with folder as name:
        yield Path(name)


def try_out(folder: Path) -> None:
    """Write and remove a probe file. Raises `WorkerUnfit` if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_TRIAL_BYTES))
            file.flush()
    except OSError as error:
        raise _unusable(folder, error) from error


@contextmanager
def machine_errors() -> Iterator[None]:
    """Raise errors of this machine's disks as `WorkerUnfit`: another machine may succeed with the same work."""
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
