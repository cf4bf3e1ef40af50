"""A lock that allows one batch per worklist, even across homes and machines that share its folder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transcription_dagster.errors import InvalidWorklist, WorklistNotSaved

#: Seconds between updates of the holder's lock file.
BEAT_SECONDS = 2.0
#: Seconds without a change of the lock file, by our own clock, after which a holder elsewhere counts as dead.
STALE_SECONDS = 10.0

_POLL_SECONDS = 0.1
#: Fixed size of the file's content, longer than any host name.
_BYTES = 512

#: Errors of a file system without locks.
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def worklist_lock(worklist: Path, *, stale_seconds: float = STALE_SECONDS) -> Iterator[None]:
    """Exclude other batches from the worklist during the block.

    The lock is the file `.NAME.lock` beside the worklist. Between processes that see each other's locks, the kernel's
    lock on it (`flock`) decides. Where they do not, as on some network file systems, a token that the holder keeps
    updating in the file decides, because a pid is meaningless on another machine.

    Raises `InvalidWorklist` if another batch is working on it, and `WorklistNotSaved` if the folder is not writable.
    """
    path = worklist.with_name(f".{worklist.name}.lock")
    try:
        file, is_locked = _open(path)
        token = secrets.token_hex(8)
        try:
            _take(path, file, token, is_locked, stale_seconds)
        except BaseException:
            os.close(file)
            raise
    except OSError as error:
        raise WorklistNotSaved(f"{worklist}: its folder cannot be written: {error.strerror}") from error
    except _Held as held:
        raise InvalidWorklist(f"{worklist}: another batch is working on it{held}") from None
    over = threading.Event()
    beat = threading.Thread(target=_beat, args=(file, token, over), name="worklist lock", daemon=True)
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join()
        # While it is locked: another batch that has already opened this file then retries with the next one.
        path.unlink(missing_ok=True)
        os.close(file)


class _Held(Exception):
    """Another batch holds the lock."""


def _open(path: Path) -> tuple[int, bool]:
    """Open and lock the file; return also whether the file system supports locks."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        is_locked = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            is_locked = False
            if error.errno not in _NO_LOCKS:
                holder = _holder(_read(file))
                os.close(file)
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise _Held(holder) from None
                raise
        if _is_still(path, file):
            return file, is_locked
        # The last holder removed it between our opening and locking it.
        os.close(file)


def _is_still(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _take(path: Path, file: int, token: str, is_locked: bool, stale_seconds: float) -> None:
    """Write our token into the file, replacing that of a dead holder. Raises `_Held` if another holder is alive."""
    before = _read(file)
    # On this machine the kernel releases a holder's lock when it ends, so any remaining content is outdated.
    if before and not (is_locked and _parsed(before).get("boot") == _boot()):
        deadline = time.monotonic() + stale_seconds
        while time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            if (now := _read(file)) != before or not _is_still(path, file):
                raise _Held(_holder(now or before))
    _write(file, token, 0)
    if not is_locked:
        # If two wrote at the same time, the last one holds the lock.
        time.sleep(5 * _POLL_SECONDS)
        if _parsed(now := _read(file)).get("token") != token:
            raise _Held(_holder(now))


def _beat(file: int, token: str, over: threading.Event) -> None:
    count = 0
    while not over.wait(BEAT_SECONDS):
        count += 1
        # Overwrites existing bytes, which works even on a full disk.
        _write(file, token, count)


def _write(file: int, token: str, count: int) -> None:
    content = {"host": socket.gethostname(), "pid": os.getpid(), "boot": _boot(), "token": token, "beat": count}
    os.pwrite(file, json.dumps(content).ljust(_BYTES).encode(), 0)


def _read(file: int) -> bytes:
    return os.pread(file, _BYTES, 0).strip()


def _parsed(content: bytes) -> dict[str, object]:
    try:
        values = json.loads(content)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _holder(content: bytes) -> str:
    values = _parsed(content)
    return f": process {values['pid']} on {values['host']}" if {"pid", "host"} <= values.keys() else ""


def _boot() -> str:
    """Return an id of this machine's current boot, unique across machines."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()
