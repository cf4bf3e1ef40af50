"""Let one system user traverse a private folder without opening it to anyone else.

Permission bits cannot name a single user; a POSIX access control list can. This module reads and writes Linux's binary
form, `struct posix_acl_xattr_entry` (see acl(5)), so that no system package is needed.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from transcription_dagster.errors import StackError

_ATTRIBUTE = "system.posix_acl_access"
_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_NOT_NAMED = 0xFFFFFFFF
_OWNER, _USER, _OWNING_GROUP, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_WALK = 1


class AclEntry(NamedTuple):
    """One entry of an access control list; the permissions are a sum of read 4, write 2, execute (traverse) 1."""

    tag: int
    rights: int
    id: int = _NOT_NAMED


def allow_passage(path: Path, user: int) -> None:
    """Let the user with the id `user` traverse every folder above `path`, without listing or reading any.

    Raises `StackError` if a file system does not support access control lists.
    """
    for folder in path.parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & stat.S_IXOTH:
            continue
        present = _read(folder, mode)
        wanted = with_passage(present, user)
        if wanted != present:
            _write(folder, wanted)


def with_passage(entries: Sequence[AclEntry], user: int) -> list[AclEntry]:
    """Add the right of `user` to traverse, and change no other right."""
    # The mask limits every entry but the owner's and the others'. Widening it must not widen an existing entry.
    mask = next((entry.rights for entry in entries if entry.tag == _MASK), 7)
    masked = (_USER, _OWNING_GROUP, _GROUP)
    kept = [entry._replace(rights=entry.rights & mask) if entry.tag in masked else entry for entry in entries]
    had = next((entry.rights for entry in kept if (entry.tag, entry.id) == (_USER, user)), 0)
    kept = [entry for entry in kept if entry.tag != _MASK and (entry.tag, entry.id) != (_USER, user)]
    kept.append(AclEntry(_USER, had | _WALK, user))
    limit = 0
    for entry in kept:
        limit |= entry.rights if entry.tag in masked else 0
    return sorted([*kept, AclEntry(_MASK, limit)], key=lambda entry: (entry.tag, entry.id))


def _read(folder: Path, mode: int) -> list[AclEntry]:
    try:
        value = os.getxattr(folder, _ATTRIBUTE)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        return [AclEntry(_OWNER, mode >> 6), AclEntry(_OWNING_GROUP, mode >> 3 & 7), AclEntry(_OTHER, mode & 7)]
    return [AclEntry(*values) for values in _ENTRY.iter_unpack(value[len(_VERSION) :])]


def _write(folder: Path, entries: Sequence[AclEntry]) -> None:
    value = _VERSION + b"".join(_ENTRY.pack(*entry) for entry in entries)
    try:
        os.setxattr(folder, _ATTRIBUTE, value)
    except OSError as error:
        raise StackError(
            f"Postgres refuses to run as root, and its system user cannot reach its files through {folder}, which is "
            f"private and cannot be opened to that user alone ({error.strerror}): run as another user, set "
            "TRANSCRIPTION_HOME to a folder that other users can reach, or set TRANSCRIPTION_DATABASE_URL"
        ) from error
