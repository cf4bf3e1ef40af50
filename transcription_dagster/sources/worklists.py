"""Worklists: JSON files that name recordings and jobs, and receive the result of each.

A worklist is a list of objects with `uuid` and, optionally, `job`, `source`, `title`, `language` or `languages`,
`vocabulary`, `speakers` and `channels`. A batch adds `status`, `error`, `files` and `finished_at`. All other keys are
preserved.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from transcription_dagster.atomic_files import replacing
from transcription_dagster.errors import (
    InvalidWorklist,
    WorklistNotSaved,
)
from transcription_dagster.sources.worklist_entries import Entry, EntryReader, EntryStatus, json_type

#: The keys that a batch writes besides `status`.
_RESULT = ("error", "files", "finished_at")


class WorklistResults(Protocol):
    """Receives the results of a worklist's recordings."""

    @property
    def path(self) -> Path: ...
    @property
    def entries(self) -> tuple[Entry, ...]: ...
    def record_waiting(self, uuid: str) -> None: ...
    def record_done(self, uuid: str, files: Sequence[str], finished_at: datetime) -> None: ...
    def record_failed(self, uuid: str, error: str, finished_at: datetime) -> None: ...
    def save(self) -> None: ...


class Worklist:
    """A worklist file: the requested work, and the results written back.

    The file may be edited during the batch: saving merges the results into its current content.
    """

    def __init__(
        self, path: Path, objects: list[dict[str, Any]], entries: tuple[Entry, ...], content: bytes = b""
    ) -> None:
        self.path = path
        self.entries = entries
        #: Results that are not in the file yet, by recording.
        self.unsaved: dict[str, dict[str, Any]] = {}
        #: Number of entries added to the file since it was loaded.
        self.added = 0
        self._objects = objects
        self._loaded = {entry.uuid for entry in entries}
        self._digest = _digest(content)

    def record_waiting(self, uuid: str) -> None:
        """Record that the recording is still waiting."""
        self._record(uuid, "waiting")

    def record_done(self, uuid: str, files: Sequence[str], finished_at: datetime) -> None:
        """Record that the recording is done, with the URIs of its results."""
        self._record(uuid, "done", files=list(files), finished_at=_timestamp(finished_at))

    def record_failed(self, uuid: str, error: str, finished_at: datetime) -> None:
        """Record that the recording failed, with the reason."""
        self._record(uuid, "failed", error=error, finished_at=_timestamp(finished_at))

    def take_over(self, results: Mapping[str, Mapping[str, Any]]) -> None:
        """Adopt results that an earlier batch could not save; those of recordings outside this worklist are ignored."""
        self.unsaved |= {uuid: dict(result) for uuid, result in results.items() if uuid in self._loaded}
        statuses = {uuid: result.get("status") for uuid, result in self.unsaved.items()}
        self.entries = tuple(replace(entry, status=statuses.get(entry.uuid) or entry.status) for entry in self.entries)

    def save(self) -> None:
        """Rewrite the file atomically, keeping its permissions.

        Edits made since it was read survive: changed, added and removed entries. Only the results of the recordings in
        `unsaved` are replaced. Raises `WorklistNotSaved`, or `InvalidWorklist` if the file is no longer a worklist.
        """
        while True:
            content = self._read_current()
            if content is not None and _digest(content) != self._digest:
                self._objects = _objects(_decoded(content, self.path), self.path)
            self._apply()
            written = self._write_unless_changed(content)
            if written is not None:
                break
        self._digest = _digest(written)
        self.unsaved.clear()
        self.added = len({uuid for item in self._objects if (uuid := _uuid_of(item))} - self._loaded)

    def _record(self, uuid: str, status: EntryStatus, **values: object) -> None:
        self.unsaved[uuid] = {"status": status, **values}

    def _apply(self) -> None:
        for item in self._objects:
            result = self.unsaved.get(_uuid_of(item))
            if result is not None:
                for name in _RESULT:
                    item.pop(name, None)
                item.update(result)

    def _read_current(self) -> bytes | None:
        """Return the file's current content; None if it is gone."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise WorklistNotSaved(f"{self.path}: cannot be read again: {error.strerror}") from error

    def _write_unless_changed(self, present: bytes | None) -> bytes | None:
        """Write the objects; return None without writing if the file changed since it was `present`."""
        content = encoded(self._objects)
        try:
            _replace(self.path, content, lambda: self._read_current() == present)
        except _Changed:
            return None
        return content


def _uuid_of(item: object) -> str:
    """Return an entry's UUID; empty if an edit left something else in its place."""
    uuid = item.get("uuid") if isinstance(item, dict) else None
    return uuid if isinstance(uuid, str) else ""


def load(path: Path) -> Worklist:
    """Read and check a worklist.

    Raises `InvalidWorklist` with one line for each problem, naming the entry's position from 1.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidWorklist(f"{path}: cannot be read: {error.strerror}") from error
    # Resolve a symbolic link once, so that saving replaces the file instead of the link.
    return parse(_decoded(content, path), path.resolve(), content)


def parse(text: str, path: Path, content: bytes = b"") -> Worklist:
    """Parse the text of the worklist `path`; relative sources start from its folder. Raises the errors of `load`.

    `content` is the file's bytes, kept to detect later edits.
    """
    objects = _objects(text, path)
    readers = [EntryReader(position, item, path.parent) for position, item in enumerate(objects, start=1)]
    entries = [reader.read() for reader in readers]
    problems = [problem for reader in readers for problem in reader.problems]
    problems += _repetitions(entries)
    if problems:
        raise InvalidWorklist("\n".join(f"{path}: {problem}" for problem in problems))
    return Worklist(path, objects, tuple(entries), content)


def source_uri(source: str, folder: Path) -> str:
    """Return the URI of an entry's source: a path, relative to `folder`, or a URL.

    Raises `InvalidWorklist` if it is neither, or if the file does not exist.
    """
    reader = EntryReader(1, {"source": source}, folder)
    uri = reader.source(must_exist=True)
    if uri is None:
        raise InvalidWorklist(reader.problems[0].partition(": ")[2])
    return uri


def _decoded(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidWorklist(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error


def _objects(text: str, path: Path) -> list[Any]:
    try:
        objects = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            raise InvalidWorklist(
                f"{path}: not a list of recordings, but several JSON documents: put [ ] around them, and commas between"
            ) from error
        raise InvalidWorklist(f"{path}: not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from error
    except ValueError as error:
        raise InvalidWorklist(f"{path}: not JSON: a number is too long") from error
    except RecursionError:
        raise InvalidWorklist(f"{path}: not a worklist: nested too deeply") from None
    if not isinstance(objects, list):
        raise InvalidWorklist(f"{path}: not a list of recordings, but {json_type(objects)}")
    return objects


def write(path: Path, objects: Sequence[Mapping[str, Any]]) -> None:
    """Write a worklist atomically. Raises `WorklistNotSaved` if the folder or the disk rejects it."""
    _replace(path, encoded(objects), lambda: True)


class _Changed(Exception):
    """The file changed since it was read."""


def encoded(objects: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the content of a worklist's file."""
    text = json.dumps(objects, indent=2, ensure_ascii=False) + "\n"
    # A lone surrogate cannot be encoded as UTF-8, but JSON can escape it.
    return text.encode("utf-8", errors="backslashreplace")


def _replace(path: Path, content: bytes, is_unchanged: Callable[[], bool]) -> None:
    try:
        with replacing(path) as file:
            if path.is_file():
                os.fchmod(file.fileno(), path.stat().st_mode & 0o7777)
            file.write(content)
            if not is_unchanged():
                raise _Changed
    except OSError as error:
        raise WorklistNotSaved(f"{path}: cannot be written: {error.strerror}") from error


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _repetitions(entries: Sequence[Entry]) -> Iterator[str]:
    """Return a problem for each repeated UUID, naming both entries."""
    first: dict[str, int] = {}
    for entry in entries:
        earlier = first.setdefault(entry.uuid, entry.position)
        if entry.uuid and earlier != entry.position:
            yield f"entry {entry.position}: {entry.uuid} is also entry {earlier}"


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
