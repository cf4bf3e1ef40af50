"""Files that settings name, identified by content, so that every machine works with the same ones.

A model's checkpoint or folder is a path on the machine where it is set. Other machines see a reference,
`sha256:DIGEST/NAME`: the content's SHA-256 and a display name. Each machine keeps the content in
`HOME/shared/DIGEST/NAME` and fetches it from the store if it is missing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock

from transcription_dagster.errors import InvalidSetting, ModelUnavailable, SourceNotFound, UnknownModel
from transcription_dagster.store.object_store import ObjectStore

_REFERENCE = re.compile(r"sha256:([0-9a-f]{64})/([A-Za-z0-9][\w.-]{0,99})\Z", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}\Z", re.ASCII)

#: Folder in the store, beside those of the recordings.
_FOLDER = "shared"
#: Store keys begin with a UUID; this namespace derives one from a digest.
_NAMESPACE = uuid.UUID("5c3f2f0e-4d0e-4f61-9f0b-6a3c7d0f5e21")


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file or folder, identified by its content."""

    #: Hexadecimal SHA-256 of a file's bytes, or of a folder's listing with the SHA-256 of each file.
    digest: str
    name: str

    def __str__(self) -> str:
        """Return the reference used in settings and requests."""
        return f"sha256:{self.digest}/{self.name}"

    @property
    def key(self) -> str:
        """Return its place below the store's shared folder."""
        return f"{uuid.uuid5(_NAMESPACE, self.digest)}/content"

    def place(self, home: Path) -> Path:
        """Return its place below a home."""
        return home / "shared" / self.digest / self.name


def parse_reference(setting: str) -> SharedFile | None:
    """Parse a reference; return None for any other value."""
    match = _REFERENCE.match(setting)
    return SharedFile(*match.groups()) if match else None


def identify(path: Path) -> SharedFile:
    """Read a file or folder and return its identity. Raises `InvalidSetting` if it cannot be read."""
    if not _NAME.match(path.name):
        raise InvalidSetting(
            f"{path} cannot be shared under its name; rename it to use only letters, digits, '.', '_' and '-'"
        )
    try:
        return SharedFile(_digest(path), path.name)
    except OSError as error:
        raise InvalidSetting(f"{path} cannot be read: {error.strerror}") from None


def keep(file: SharedFile, path: Path, home: Path) -> None:
    """Link the content at `path` below the home, where this machine's processes find it."""
    place = file.place(home)
    place.parent.mkdir(parents=True, exist_ok=True)
    link = place.with_name(f".{secrets.token_hex(8)}.link")
    link.symlink_to(path.absolute())
    if place.is_dir() and not place.is_symlink():
        link.unlink()  # already fetched from the store
    else:
        link.replace(place)


def publish(file: SharedFile, path: Path, store_url: str) -> None:
    """Upload the content to the store for other machines, unless it is there."""
    store = _shared_store(store_url)
    if store.head(file.key) is not None:
        return
    if path.is_file():
        store.put_file(file.key, path)
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "content.tar"
        with tarfile.open(archive, "w", dereference=True) as tar:
            for member, inside in _files(path):
                tar.add(member, inside, recursive=False)
        store.put_file(file.key, archive)


@cache
def local_copy(file: SharedFile, home: Path, store_url: str) -> Path:
    """Return the content's path on this machine, fetching it from the store if necessary.

    Each process verifies the content once. Raises `UnknownModel` if the digest does not match, and
    `ModelUnavailable` if the store does not have it.
    """
    place = file.place(home)
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.parent / ".lock"):
        if not place.exists():
            _fetch(file, place, store_url)
        # Verify local content too: a link's target may have been replaced.
        if _digest(place) != file.digest:
            raise UnknownModel(
                f"{place.resolve()} is not the {file.name} that the settings name (SHA-256 {file.digest}): run "
                "`transcription settings push` where the model was changed, or restore the old one"
            )
    return place


def local_path(setting: str, home: Path, store_url: str) -> str:
    """Return a setting's value as a path that this machine can open: a reference becomes that of `local_copy`."""
    file = parse_reference(setting)
    return setting if file is None else str(local_copy(file, home, store_url))


def _fetch(file: SharedFile, place: Path, store_url: str) -> None:
    place.unlink(missing_ok=True)  # a dangling link
    part = place.with_name(f".{secrets.token_hex(8)}.part")
    try:
        _shared_store(store_url).download(file.key, part)
        if tarfile.is_tarfile(part) and _digest(part) != file.digest:
            folder = part.with_suffix(".folder")
            with tarfile.open(part) as tar:
                tar.extractall(folder, filter="data")
            folder.replace(place)
        else:
            part.replace(place)
    except SourceNotFound:
        raise ModelUnavailable(
            f"{file.name} is neither on this machine nor in the store {store_url}: run `transcription settings push` "
            "on the machine that has it, or check TRANSCRIPTION_STORE"
        ) from None
    finally:
        part.unlink(missing_ok=True)
        shutil.rmtree(part.with_suffix(".folder"), ignore_errors=True)


def _shared_store(store_url: str) -> ObjectStore:
    return ObjectStore(f"{store_url}/{_FOLDER}")


def _digest(path: Path) -> str:
    if path.is_dir():
        lines = [f"{inside}\0{_digest(member)}\n" for member, inside in _files(path)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file below `folder` with its relative path, in order."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for inside in sorted(files):
        yield files[inside], inside
