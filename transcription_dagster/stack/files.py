"""The files of a home: Dagster's configuration, and the log files, from which a recording can be removed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from importlib import resources
from itertools import pairwise
from pathlib import Path

import yaml

from transcription_dagster.atomic_files import replacing
from transcription_dagster.settings import Settings
from transcription_dagster.stack.programs import CODE_LOCATION, StackFiles
from transcription_dagster.stack.runtime import runtime_folder


def dagster_home(settings: Settings) -> Path:
    """Return the DAGSTER_HOME of this installation."""
    return settings.home / "dagster"


def write_files(settings: Settings) -> StackFiles:
    """Write Dagster's configuration files, replacing those of an older version."""
    folder = dagster_home(settings)
    code_socket = runtime_folder(settings.home) / "code"
    server = {"grpc_server": {"socket": str(code_socket), "location_name": CODE_LOCATION}}
    _write(folder / "workspace.yaml", yaml.safe_dump({"load_from": [server]}))
    _write(
        folder / "dagster.yaml",
        resources.files("transcription_dagster.stack").joinpath("dagster.yaml").read_text(encoding="utf-8"),
    )
    return StackFiles(folder, folder / "workspace.yaml", code_socket)


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


#: A record begins with a date (ours, supervisor's, Dagster's, Postgres's) or a level (uvicorn's). Lines without either,
#: such as a traceback, belong to the record before.
_RECORD = re.compile(rb"^(?=\d{4}-\d\d-\d\d[ T]|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):)", re.MULTILINE)


def remove_records(folder: Path, words: Collection[str]) -> int:
    """Remove the records that contain one of the words from the log files in a folder; return their number.

    The files are rewritten in place, because programs have them open for appending: a record written at that very
    moment may be lost. Raises `OSError`.
    """
    sought = [word.encode() for word in words]
    return sum(_sweep(path, sought) for path in sorted(folder.glob("*.log*")) if path.is_file())


def _sweep(path: Path, sought: list[bytes]) -> int:
    with path.open("r+b") as file:
        content = file.read()
        kept, removed = _kept(content, sought)
        if not removed:
            return 0
        # Appended in the meantime.
        kept += file.read()
        file.seek(0)
        file.write(kept)
        file.truncate()
    return removed


def _kept(content: bytes, sought: list[bytes]) -> tuple[bytes, int]:
    records = list(_records(content))
    kept = [record for record in records if not any(word in record for word in sought)]
    return b"".join(kept), len(records) - len(kept)


def _records(content: bytes) -> Iterator[bytes]:
    starts = [found.start() for found in _RECORD.finditer(content)]
    borders = sorted({0, *starts, len(content)})
    for start, stop in pairwise(borders):
        yield content[start:stop]
