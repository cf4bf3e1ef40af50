"""The home of an installation: a private folder for sockets, Dagster's configuration, and log files."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path

import yaml

from transcription_dagster.atomic_files import replacing
from transcription_dagster.errors import StackError
from transcription_dagster.settings import Settings

#: Name of the code location in Dagster's UI and API.
CODE_LOCATION = "transcription_dagster"

#: The strictest systems allow 103 bytes in a socket address; the difference is for names below the folder.
_LONGEST_PATH = 60

#: Lines of a log that an error quotes.
_TAIL_LINES = 15

#: A record begins with a date (ours, supervisor's, Dagster's, Postgres's) or a level (uvicorn's). Lines without either,
#: such as a traceback, belong to the record before.
_RECORD = re.compile(rb"^(?=\d{4}-\d\d-\d\d[ T]|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):)", re.MULTILINE)


def open_home(home: Path) -> None:
    """Create the home if necessary, and close it to all users but its owner and group.

    It holds transcripts, uploads and logs. A home that another program made, such as a service manager or `mkdir`, is
    usually open to everyone. The group's rights are the administrator's choice. Raises `OSError`.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = home.stat()
    if status.st_mode & stat.S_IRWXO and status.st_uid == os.geteuid():
        home.chmod(stat.S_IMODE(status.st_mode) & ~stat.S_IRWXO)


def runtime_folder(home: Path) -> Path:
    """Return the private folder for this home's sockets, creating it if necessary.

    It is `home/run`. If that path is too long for a socket, `home/run` links to a short temporary folder, so that
    every process finds the same place.

    Raises `StackError` if the folder belongs to another user, who could impersonate our servers.
    """
    open_home(home)
    named = home / "run"
    folder = Path(os.path.realpath(named))
    if not folder.is_dir():
        if len(os.fsencode(folder)) <= _LONGEST_PATH and not named.is_symlink():
            named.mkdir(mode=0o700, exist_ok=True)
        else:
            _link_to_short_folder(named)
        folder = Path(os.path.realpath(named))
    _refuse_foreign_folder(folder)
    return folder


def _link_to_short_folder(named: Path) -> None:
    """Make `named` a link to a new folder, replacing a link whose folder was cleaned up."""
    named.unlink(missing_ok=True)
    short = tempfile.mkdtemp(prefix="transcription-")
    try:
        named.symlink_to(short)
    except FileExistsError:  # another process was faster: use its folder
        os.rmdir(short)


def _refuse_foreign_folder(folder: Path) -> None:
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StackError(f"{folder} is writable by another user; remove it and start again")


@dataclass(frozen=True, slots=True)
class DagsterFiles:
    """The paths by which Dagster's processes find each other."""

    dagster_home: Path
    workspace: Path
    code_socket: Path


def dagster_home(settings: Settings) -> Path:
    """Return the DAGSTER_HOME of this installation."""
    return settings.home / "dagster"


def write_dagster_files(settings: Settings) -> DagsterFiles:
    """Write Dagster's configuration files, replacing those of an older version."""
    folder = dagster_home(settings)
    code_socket = runtime_folder(settings.home) / "code"
    server = {"grpc_server": {"socket": str(code_socket), "location_name": CODE_LOCATION}}
    _write(folder / "workspace.yaml", yaml.safe_dump({"load_from": [server]}))
    _write(
        folder / "dagster.yaml",
        resources.files("transcription_dagster.stack").joinpath("dagster.yaml").read_text(encoding="utf-8"),
    )
    return DagsterFiles(folder, folder / "workspace.yaml", code_socket)


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


def log_tail(log: Path, offset: int = 0) -> str:
    """Return the last lines of a log after the byte `offset`; empty if the file is missing."""
    try:
        text = log.read_bytes()[offset:].decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-_TAIL_LINES:])


def remove_log_records(folder: Path, phrases: Collection[str]) -> int:
    """Remove the records that contain one of the phrases from the log files in a folder; return their number.

    The files are rewritten in place, because programs have them open for appending: a record written at that very
    moment may be lost. Raises `OSError`.
    """
    encoded = [phrase.encode() for phrase in phrases]
    return sum(_remove_from(path, encoded) for path in sorted(folder.glob("*.log*")) if path.is_file())


def _remove_from(path: Path, phrases: list[bytes]) -> int:
    with path.open("r+b") as file:
        records = list(_records(file.read()))
        remaining = [record for record in records if not any(phrase in record for phrase in phrases)]
        if len(remaining) == len(records):
            return 0
        # Appended in the meantime.
        appended = file.read()
        file.seek(0)
        file.write(b"".join(remaining) + appended)
        file.truncate()
    return len(records) - len(remaining)


def _records(content: bytes) -> Iterator[bytes]:
    starts = [match.start() for match in _RECORD.finditer(content)]
    borders = sorted({0, *starts, len(content)})
    for start, stop in pairwise(borders):
        yield content[start:stop]
