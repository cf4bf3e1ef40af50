"""Worklists: JSON files that name recordings and jobs, and receive the result of each.

A worklist is a list of objects with `uuid` and, optionally, `job`, `source`, `title`, `language`, `vocabulary`,
`speakers` and `channels`. A batch adds `status`, `error`, `files` and `finished_at`. All other keys are preserved.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args
from urllib.parse import unquote, urlsplit

from transcription_dagster.atomic_files import replacing
from transcription_dagster.errors import (
    InvalidRecordingId,
    InvalidSetting,
    InvalidVocabulary,
    InvalidWorklist,
    WorklistNotSaved,
)
from transcription_dagster.language.codes import whisper_language
from transcription_dagster.model import ChannelMode, Term, recording_id, speaker_limits
from transcription_dagster.urls import shown_url
from transcription_dagster.vocabulary.files import parse_terms

Status = Literal["waiting", "done", "failed"]

#: The jobs that an entry may name, with their names in Dagster.
JOBS: Mapping[str, str] = {
    "transcribe": "transcribe_recordings",
    "refine": "refine",
    "captions": "captions",
    "rebuild": "rebuild",
    "reindex": "reindex",
    "publish": "publish",
    "speakers": "tell_speakers_apart",
}

#: The keys that a batch writes besides `status`.
_RESULT = ("error", "files", "finished_at")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCHEMES = ("file", "s3", "https", "http")


@dataclass(frozen=True, slots=True)
class Entry:
    """One recording of a worklist."""

    #: Position in the list, from 1.
    position: int
    uuid: str
    #: URI of the audio; None if the recording is already registered.
    source: str | None = None
    title: str | None = None
    language: str | None = None
    vocabulary: tuple[Term, ...] = ()
    #: How many speak, as the setting `speakers` says it; None: as the settings say.
    speakers: str | None = None
    speaker_names: tuple[str, ...] = ()
    #: What becomes of its channels; None: as the settings say.
    channels: ChannelMode | None = None
    status: Status = "waiting"
    #: A key of `JOBS`; None: `transcribe`, or `refine` for a recording whose transcript was imported.
    job: str | None = None

    @property
    def may_transcribe(self) -> bool:
        """Return whether the job may need the recording's audio."""
        return self.job in (None, "transcribe")


class Results(Protocol):
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
    """A worklist file: the work it requests and the results written back.

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
        """Adopt results that an earlier batch could not save; those of recordings not in this worklist are ignored."""
        self.unsaved |= {uuid: dict(result) for uuid, result in results.items() if uuid in self._loaded}
        statuses = {uuid: result.get("status") for uuid, result in self.unsaved.items()}
        self.entries = tuple(replace(entry, status=statuses.get(entry.uuid) or entry.status) for entry in self.entries)

    def save(self) -> None:
        """Rewrite the file atomically, keeping its permissions.

        Edits made since it was read survive: changed, added and removed entries. Only the results of the recordings in
        `unsaved` are replaced. Raises `WorklistNotSaved`, or `InvalidWorklist` if the file is no longer a worklist.
        """
        while True:
            content = self._present()
            if content is not None and _digest(content) != self._digest:
                self._objects = _objects(_decoded(content, self.path), self.path)
            self._apply()
            written = self._written(content)
            if written is not None:
                break
        self._digest = _digest(written)
        self.unsaved.clear()
        self.added = len({each.get("uuid") for each in self._objects if isinstance(each, dict)} - self._loaded)

    def _record(self, uuid: str, status: Status, **values: object) -> None:
        self.unsaved[uuid] = {"status": status, **values}

    def _apply(self) -> None:
        for each in self._objects:
            result = self.unsaved.get(each.get("uuid", "")) if isinstance(each, dict) else None
            if result is not None:
                for name in _RESULT:
                    each.pop(name, None)
                each.update(result)

    def _present(self) -> bytes | None:
        """Return the file's current content; None if it is gone."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise WorklistNotSaved(f"{self.path}: cannot be read again: {error.strerror}") from error

    def _written(self, present: bytes | None) -> bytes | None:
        """Write the objects; return None without writing if the file changed since it was `present`."""
        content = _encoded(self._objects)
        try:
            _replace(self.path, content, lambda: self._present() == present)
        except _Changed:
            return None
        return content


def load(path: Path) -> Worklist:
    """Read and check a worklist.

    Raises `InvalidWorklist` with one line for each problem, naming the entry's position from 1.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidWorklist(f"{path}: cannot be read: {error.strerror}") from error
    # Resolve a symbolic link once, so that saving replaces the file and not the link.
    return parse(_decoded(content, path), path.resolve(), content)


def parse(text: str, path: Path, content: bytes = b"") -> Worklist:
    """Parse the text of the worklist `path`; relative sources start from its folder. Raises as `load` does.

    `content` is the file's bytes, kept to detect later edits.
    """
    objects = _objects(text, path)
    readers = [_EntryReader(position, item, path.parent) for position, item in enumerate(objects, start=1)]
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
    reader = _EntryReader(1, {"source": source}, folder)
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
        raise InvalidWorklist(f"{path}: not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from error
    except RecursionError:
        raise InvalidWorklist(f"{path}: not a worklist: nested too deeply") from None
    if not isinstance(objects, list):
        raise InvalidWorklist(f"{path}: not a list of recordings, but {_kind(objects)}")
    return objects


def write(path: Path, objects: Sequence[Mapping[str, Any]]) -> None:
    """Write a worklist atomically. Raises `WorklistNotSaved` if the folder or the disk rejects it."""
    _replace(path, _encoded(objects), lambda: True)


class _Changed(Exception):
    """The file changed since it was read."""


def _encoded(objects: Sequence[Mapping[str, Any]]) -> bytes:
    text = json.dumps(objects, indent=2, ensure_ascii=False) + "\n"
    # A lone surrogate cannot be encoded as UTF-8, but JSON can escape it.
    return text.encode("utf-8", errors="backslashreplace")


def _replace(path: Path, content: bytes, is_unchanged: Callable[[], bool]) -> None:
    try:
        with replacing(path) as file:
            if path.exists():
                os.fchmod(file.fileno(), path.stat().st_mode & 0o7777)
            file.write(content)
            if not is_unchanged():
                raise _Changed
    except OSError as error:
        raise WorklistNotSaved(f"{path}: cannot be written: {error.strerror}") from error


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


class _EntryReader:
    """Reads one object of the list and collects its problems."""

    def __init__(self, position: int, item: object, folder: Path) -> None:
        self.problems: list[str] = []
        self._position = position
        self._folder = folder
        self._item = item if isinstance(item, dict) else {}
        if not isinstance(item, dict):
            self._problem(f"not an object, but {_kind(item)}")

    def read(self) -> Entry:
        """Return the entry; valid only if there are no problems."""
        status, job = self._status(), self._job()
        speakers, speaker_names = self._speakers()
        return Entry(
            position=self._position,
            uuid=self._uuid(),
            source=self.source(must_exist=status != "done" and job in (None, "transcribe")),
            title=self._text("title"),
            language=self._language(),
            vocabulary=self._vocabulary(),
            speakers=speakers,
            speaker_names=speaker_names,
            channels=self._channels(),
            status=status,
            job=job,
        )

    def _problem(self, text: str) -> None:
        self.problems.append(f"entry {self._position}: {text}")

    def _uuid(self) -> str:
        if not self._item:
            return ""
        if "uuid" not in self._item:
            self._problem("has no `uuid`")
            return ""
        try:
            return recording_id(self._item["uuid"])
        except InvalidRecordingId as error:
            self._problem(str(error))
            return ""

    def _text(self, name: str) -> str | None:
        value = self._item.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            self._problem(f"`{name}` is not a text, but {_kind(value)}")
            return None
        return value

    def _language(self) -> str | None:
        try:
            return whisper_language(self._text("language"))
        except InvalidSetting as error:
            self._problem(f"`language`: {error}")
            return None

    def _status(self) -> Status:
        value = self._item.get("status") or "waiting"
        if value not in get_args(Status):
            self._problem(f"`status` is {value!r}; it can be {', '.join(get_args(Status))}")
            return "waiting"
        return cast(Status, value)

    def _job(self) -> str | None:
        value = self._item.get("job")
        if value is not None and (not isinstance(value, str) or value not in JOBS):
            self._problem(f"`job` is {value!r}; it can be {', '.join(JOBS)}")
            return None
        return value

    def _channels(self) -> ChannelMode | None:
        value = self._item.get("channels")
        if value is not None and value not in get_args(ChannelMode):
            self._problem(f"`channels` is {value!r}; it can be {', '.join(get_args(ChannelMode))}")
            return None
        return value

    def _vocabulary(self) -> tuple[Term, ...]:
        value = self._item.get("vocabulary") or ()
        if not isinstance(value, list | tuple):
            self._problem(f"`vocabulary` is not a list of terms, but {_kind(value)}")
            return ()
        try:
            return tuple(parse_terms(value, "`vocabulary`"))
        except InvalidVocabulary as error:
            # The message quotes keys verbatim, and a problem is one line.
            self._problem(" ".join(str(error).split()))
            return ()

    def _speakers(self) -> tuple[str | None, tuple[str, ...]]:
        """How many speak, and their names: a list of names is as many speakers."""
        value = self._item.get("speakers")
        if value is None:
            return None, ()
        if isinstance(value, list):
            return self._named_speakers(value)
        try:
            text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else _kind(value)
            speaker_limits(text)
        except InvalidSetting as error:
            self._problem(f"`speakers`: {error}, or a list of names")
            return None, ()
        return text, ()

    def _named_speakers(self, names: list[Any]) -> tuple[str | None, tuple[str, ...]]:
        usable = all(isinstance(name, str) and name.strip() and name.isprintable() for name in names)
        if not usable or not 1 <= len(names) <= 99 or len(set(names)) < len(names):
            self._problem("`speakers` is not a list of different names, each a line of text")
            return None, ()
        return str(len(names)), tuple(name.strip() for name in names)

    def source(self, *, must_exist: bool) -> str | None:
        """Return the URI of the entry's source; None if it has none or an invalid one."""
        value = self._text("source")
        if value is None:
            return None
        scheme = _SCHEME.match(value)
        if scheme is None:
            return self._file(Path(value), value, must_exist)
        if scheme[1].lower() not in _SCHEMES:
            self._problem(
                f"`source` {shown_url(value)!r}: unknown scheme; known are a path, {'://, '.join(_SCHEMES)}://"
            )
            return None
        return self._url(value, must_exist)

    def _url(self, value: str, must_exist: bool) -> str | None:
        try:
            url = urlsplit(value)
        except ValueError:
            self._problem("`source` is not a URL that can be parsed")
            return None
        if url.scheme == "file":
            if url.netloc not in ("", "localhost"):
                self._problem(f"`source` {shown_url(value)!r} is a file on another machine")
                return None
            return self._file(Path(unquote(url.path)), value, must_exist)
        if url.username is not None or url.password is not None:
            # Not quoted: the message would show the password.
            self._problem(
                "`source` contains a user name or password, which worklists and pages would show; remove them"
            )
        elif not url.netloc or not url.path.strip("/"):
            self._problem(f"`source` {shown_url(value)!r} names no {'object' if url.scheme == 's3' else 'file'}")
        else:
            return value
        return None

    def _file(self, path: Path, value: str, must_exist: bool) -> str | None:
        path = Path(os.path.normpath(self._folder / path))
        if must_exist and not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            self._problem(f"`source` {shown_url(value)!r}: {os.fspath(path)!r} {what}")
            return None
        return path.as_uri()


def _repetitions(entries: Sequence[Entry]) -> Iterator[str]:
    """Return a problem for each repeated UUID, naming both entries."""
    first: dict[str, int] = {}
    for entry in entries:
        earlier = first.setdefault(entry.uuid, entry.position)
        if entry.uuid and earlier != entry.position:
            yield f"entry {entry.position}: {entry.uuid} is also entry {earlier}"


def _kind(value: object) -> str:
    """Return the JSON name of a value's type."""
    if isinstance(value, str):
        return "an empty text" if not value.strip() else "a text"
    kinds = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
