"""The store of results, a folder or a bucket: objects named `{recording}/{file}`, written atomically."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.store import LocalStore

from transcription_dagster.atomic_files import replacing
from transcription_dagster.errors import InvalidSetting, PermanentError, SourceNotFound, StoreRefused
from transcription_dagster.model import recording_id
from transcription_dagster.store.obstore_access import obstore_errors, open_remote
from transcription_dagster.urls import shown_url

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}(?:\.[A-Za-z0-9][A-Za-z0-9_-]{0,31}){0,4}\Z")
_PART_BYTES = 8 * 1024 * 1024
#: Suffix of files that hold a secret: they are never listed, and on disk only their owner can read them.
_PRIVATE = ".secret"
#: An object that `check_writable` writes; no recording has this name.
_PROBE = "writable"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's size in bytes, a tag that changes with its content, and its modification time."""

    key: str
    size: int
    etag: str | None
    modified: datetime


def object_key(recording: str, file: str) -> str:
    """Return `{recording}/{file}`; raises `InvalidRecordingId` or `StoreRefused` if either part is invalid."""
    if not _FILE_NAME.match(file):
        raise StoreRefused(
            f"{file!r} is not a valid file name for the store; use letters, digits, '-', '_' and single dots"
        )
    return f"{recording_id(recording)}/{file}"


def signed_source(uri: str, seconds: int) -> str:
    """Return a URL by which anyone can read an object in S3, such as a recording's source, for `seconds`.

    Does not check that the object exists. Raises `StoreRefused`.
    """
    # Keys are not escaped: they may contain question marks and hashes.
    scheme, _, place = uri.partition("://")
    bucket, _, key = place.partition("/")
    if "" in key.split("/") or {".", ".."} & set(key.split("/")):
        raise StoreRefused(f"{shown_url(uri)} has no link: obstore cannot name an object with such a path")
    with obstore_errors(f"Could not sign {shown_url(uri)}"):
        return obstore.sign(open_remote(f"{scheme}://{bucket}"), "GET", key, timedelta(seconds=seconds))


class ObjectStore:
    """Reads and writes results below a URL: `file://`, `s3://`, or any other that obstore opens.

    S3 credentials come from boto3's chain; `AWS_ENDPOINT_URL` or `AWS_ENDPOINT_URL_S3` name another server. No I/O
    happens before the first call. Calls raise `SourceNotFound` for a missing object, `StoreUnavailable` if a retry may
    help, and `StoreRefused` if it will not.
    """

    def __init__(self, url: str) -> None:
        """Raise `InvalidSetting` if `url` is not the URL of a folder or bucket."""
        scheme, host, path, query, fragment = urlsplit(url)
        if not scheme or query or fragment or "@" in host or (scheme == "file" and (host or not path.startswith("/"))):
            raise InvalidSetting(
                f"The store {shown_url(url)!r} is not a URL such as file:///data/store or s3://bucket/folder"
            )
        self.url = url.rstrip("/")
        self._folder = Path(url2pathname(path)) if scheme == "file" else None

    def __repr__(self) -> str:
        return f"ObjectStore({self.url!r})"

    def check_writable(self) -> None:
        """Write and delete an empty object. Raises the errors of any other write."""
        with obstore_errors(f"The store {self.url} cannot be used"):
            obstore.put(self._store, _PROBE, b"")
            obstore.delete(self._store, _PROBE)

    def uri(self, key: str) -> str:
        """Return the object's URL."""
        return f"{self.url}/{_checked(key)}"

    def local_path(self, key: str) -> Path | None:
        """Return the object's path on this machine's disk; None unless the store is a local folder."""
        return self._folder / _checked(key) if self._folder else None

    def file(self, key: str, folder: Path) -> Path:
        """Return the path of an object as a file of this machine, to be read only.

        It is the store's own file, or else a copy that is downloaded into `folder`.
        """
        path = self.local_path(key)
        if path is None:
            path = folder / key.rpartition("/")[2]
            self.download(key, path)
        return path

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write a small object."""
        with self._errors("write", key):
            path = self.local_path(key)
            if path is not None and key.endswith(_PRIVATE):
                with replacing(path) as file:
                    os.fchmod(file.fileno(), 0o600)
                    file.write(data)
            else:
                obstore.put(self._store, _checked(key), data)

    def put_file(self, key: str, path: Path) -> None:
        """Write an object from a file, in parts, with constant memory."""
        with path.open("rb") as file, self._errors("write", key):
            obstore.put(self._store, _checked(key), file, chunk_size=_PART_BYTES, max_concurrency=4)

    def get_bytes(self, key: str) -> bytes:
        """Read a small object."""
        with self._errors("read", key):
            return bytes(obstore.get(self._store, _checked(key)).bytes())

    def download(self, key: str, path: Path) -> None:
        """Download an object to a file, in parts; `path` appears only when it is complete."""
        with self._errors("read", key), replacing(path) as file:
            for part in obstore.get(self._store, _checked(key)).stream(min_chunk_size=_PART_BYTES):
                file.write(part)

    def head(self, key: str) -> StoredObject | None:
        """Describe an object; None if it does not exist."""
        try:
            with self._errors("look up", key):
                return _described(obstore.head(self._store, _checked(key)))
        except SourceNotFound:
            return None

    def signed_url(self, key: str, seconds: int) -> str:
        """Return a URL to read an object of a bucket for `seconds`. Raises `StoreRefused` for a folder."""
        if self._folder:
            raise StoreRefused(f"{self.url} is a folder: its files have no links")
        with self._errors("sign", key):
            return obstore.sign(self._store, "GET", _checked(key), timedelta(seconds=seconds))

    def delete(self, key: str) -> None:
        """Delete an object, if it exists."""
        try:
            with self._errors("remove", key):
                obstore.delete(self._store, _checked(key))
        except SourceNotFound:
            return

    def list(self, recording: str = "") -> Iterator[StoredObject]:
        """Describe the objects of one recording, or of all, in arbitrary order.

        Skips secrets and objects that the program did not write.
        """
        prefix = recording_id(recording) if recording else None
        with self._errors("list", recording or "all recordings"):
            for batch in obstore.list(self._store, prefix=prefix):
                yield from (_described(meta) for meta in batch if _is_listed(meta["path"]))

    def forget(self, recording: str) -> int:
        """Delete everything of a recording, including remnants of interrupted writes; return the number of objects."""
        prefix = recording_id(recording)
        with self._errors("remove", recording):
            paths = [meta["path"] for batch in obstore.list(self._store, prefix=prefix) for meta in batch]
            if paths:
                obstore.delete(self._store, paths)
            if self._folder and (folder := self._folder / prefix).is_dir():
                # obstore writes to `name#1` first, and does not list such files.
                shutil.rmtree(folder)
        return len(paths)

    @cached_property
    def _store(self) -> Any:
        if not self._folder:
            return open_remote(self.url)
        try:
            return LocalStore(self._folder, mkdir=True)
        except OSError as error:
            raise StoreRefused(f"{self.url} cannot be opened: {error}") from error

    def _errors(self, action: str, subject: str) -> AbstractContextManager[None]:
        return obstore_errors(f"Could not {action} {subject} in {self.url}")


def _checked(key: str) -> str:
    recording, slash, file = key.partition("/")
    if not slash:
        raise StoreRefused(f"{key!r} is not a key of the store; keys have the form RECORDING/FILE")
    return object_key(recording, file)


def _is_listed(key: str) -> bool:
    try:
        return not _checked(key).endswith(_PRIVATE)
    except PermanentError:
        return False


def _described(meta: Any) -> StoredObject:
    etag = meta["e_tag"]
    return StoredObject(meta["path"], meta["size"], etag.strip('"') if etag else None, meta["last_modified"])
