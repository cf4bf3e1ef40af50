"""Files that a setting names, known by their content, so that every machine works with the same ones.

A model's checkpoint or folder is a path on the machine where somebody set it. To the others it is a reference,
`sha256:DIGEST/NAME`: the content's SHA-256, and the name to show. Each machine keeps the content below its home, in
`shared/DIGEST/NAME`; one that lacks it takes it from the store.
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

#: Folder of the store, beside those of the recordings.
_FOLDER = "shared"
#: Keys of the store begin with a UUID; this one makes them of digests.
_NAMESPACE = uuid.UUID("5c3f2f0e-4d0e-4f61-9f0b-6a3c7d0f5e21")


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file or folder by its content."""

    #: SHA-256, hexadecimal: of a file's bytes, or of the list of a folder's files with the SHA-256 of each.
    digest: str
    name: str

    def __str__(self) -> str:
        """The reference that stands for it in settings and requests."""
        return f"sha256:{self.digest}/{self.name}"

    @property
    def key(self) -> str:
        """Where it lies below the store's shared folder."""
        return f"{uuid.uuid5(_NAMESPACE, self.digest)}/content"

    def place(self, home: Path) -> Path:
        """Where it lies below a home."""
        return home / "shared" / self.digest / self.name


def parse(setting: str) -> SharedFile | None:
    """Return the file that a reference stands for; None for any other value of a setting."""
    match = _REFERENCE.match(setting)
    return SharedFile(*match.groups()) if match else None


def identify(path: Path) -> SharedFile:
    """Read a file or folder and return what it is known by. Raises `InvalidSetting` if it cannot be read."""
    if not _NAME.match(path.name):
        raise InvalidSetting(f"{path} cannot be shared under its name: letters, digits, '.', '_' and '-' are allowed")
    try:
        return SharedFile(_digest(path), path.name)
    except OSError as error:
        raise InvalidSetting(f"{path} cannot be read: {error.strerror}") from None


def keep(file: SharedFile, path: Path, home: Path) -> None:
    """Make the content at `path` known to this machine's processes, by a link below the home."""
    place = file.place(home)
    place.parent.mkdir(parents=True, exist_ok=True)
    link = place.with_name(f".{secrets.token_hex(8)}.link")
    link.symlink_to(path.absolute())
    if place.is_dir() and not place.is_symlink():
        link.unlink()  # the content itself is there, from the store
    else:
        link.replace(place)


def publish(file: SharedFile, path: Path, store_url: str) -> None:
    """Put the content into the store for the other machines, unless it is there."""
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
    """Return where the content lies on this machine; it is fetched from the store if it is not there yet.

    A process checks the content once. Raises `UnknownModel` if what is there, or what the store has, is something
    else, and `ModelUnavailable` if the store does not have it.
    """
    place = file.place(home)
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.parent / ".lock"):
        if not place.exists():
            _fetch(file, place, store_url)
        # Also of what lay there: a link's target may have been replaced since.
        if _digest(place) != file.digest:
            raise UnknownModel(
                f"{place.resolve()} is not the {file.name} that the settings mean (SHA-256 {file.digest}): run "
                "`transcription settings push` where the model was changed, or put the old one back"
            )
    return place


def local_path(setting: str, home: Path, store_url: str) -> str:
    """Return a setting's value as this machine can open it: a reference becomes the path of `local_copy`."""
    file = parse(setting)
    return setting if file is None else str(local_copy(file, home, store_url))


def _fetch(file: SharedFile, place: Path, store_url: str) -> None:
    place.unlink(missing_ok=True)  # a link whose target is gone
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
    """Each file below `folder` with its path in it, in order."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for inside in sorted(found):
        yield found[inside], inside
