"""Configure and control supervisord, which starts a stack's programs and restarts those that die.

If the supervisor itself is killed, its programs survive as orphan processes, which the next stack ends.
"""

from __future__ import annotations

import configparser
import getpass
import http.client
import io
import os
import re
import shlex
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from transcription_dagster.errors import StackError
from transcription_dagster.stack.programs import ORDER, STACK_VARIABLE, Program

#: These start a comment in supervisor's files, even inside quotes.
_COMMENT = re.compile(r"\s[;#]|[\r\n]")

_DEFAULTS = {
    # `up` starts the programs in order; supervisord only keeps them running.
    "autostart": "false",
    "autorestart": "true",
    # A program that ends within this time counts as failed and is retried after a growing pause. It is longer than an
    # executor on a busy machine takes to discover that it cannot load its model.
    "startsecs": "20",
    "startretries": "1000",
    "killasgroup": "true",
    "redirect_stderr": "true",
    "stdout_logfile_maxbytes": "20MB",
    "stdout_logfile_backups": "3",
}


@dataclass(frozen=True, slots=True)
class ProgramState:
    """The state of a program, as supervisord reports it."""

    name: str
    #: STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN.
    state: str
    #: None if it has no process now.
    pid: int | None
    #: Describes the state: its uptime, or why it does not run.
    description: str
    log: Path

    @property
    def failed(self) -> bool:
        """Return whether it ended although it should be running."""
        return self.state in ("BACKOFF", "EXITED", "FATAL", "UNKNOWN")


def configuration(programs: Sequence[Program], *, folder: Path, logs: Path) -> str:
    """Return the configuration for `programs`, with supervisord's sockets in `folder`.

    Raises `StackError` if a path has characters that the file format cannot hold.
    """
    parser = configparser.RawConfigParser()
    parser["unix_http_server"] = {"file": _value(socket_path(folder)), "chmod": "0700"}
    parser["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    parser["supervisord"] = {
        "logfile": _value(logs / "supervisord.log"),
        "logfile_maxbytes": "20MB",
        "logfile_backups": "3",
        "pidfile": _value(folder / "supervisord.pid"),
        "childlogdir": _value(logs),
        "nocleanup": "true",
        # Only root can, and must, name a user.
        **({"user": getpass.getuser()} if os.geteuid() == 0 else {}),
    }
    for program in programs:
        parser[f"program:{program.name}"] = _program_section(program, logs)
    for group, members in groupby(programs, key=lambda program: program.group):
        names = ",".join(program.name for program in members)
        parser[f"group:{group}"] = {"programs": names, "priority": str(ORDER.index(group) + 1)}
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def socket_path(folder: Path) -> Path:
    """Return the path of supervisord's control socket."""
    return folder / "supervisor"


def _program_section(program: Program, logs: Path) -> dict[str, str]:
    return {
        "command": _value(shlex.join(program.command)),
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_seconds),
        # supervisor expands this value twice.
        "stdout_logfile": _value(logs / f"{program.name}.log").replace("%", "%%"),
        **({"user": program.user} if program.user else {}),
        **_DEFAULTS,
    }


def _value(value: str | Path) -> str:
    text = str(value)
    if _COMMENT.search(text):
        raise StackError(f"{text!r} contains a line break, or a ';' or '#' after a space: choose another folder")
    return text.replace("%", "%%")


def launch(configuration_file: Path, environment: Mapping[str, str]) -> None:
    """Start supervisord in a separate session, out of reach of Ctrl+C in our terminal.

    Raises `StackError` with its output if it refuses.
    """
    command = [sys.executable, "-P", "-m", "supervisor.supervisord", "--configuration", str(configuration_file)]
    finished = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise StackError(f"supervisord did not start: {(finished.stderr or finished.stdout).strip()}")


class Supervisor:
    """Controls a running supervisord over its socket."""

    def __init__(self, folder: Path) -> None:
        self._socket = socket_path(folder)

    def pid(self) -> int | None:
        """Return supervisord's process id; None if it does not answer."""
        try:
            return self._call("getPID")
        except (OSError, http.client.HTTPException):
            return None

    def start(self, group: str) -> None:
        """Start the programs of a group without waiting. Raises `StackError` if one cannot be started."""
        for answer in self._call("startProcessGroup", group, False):
            if answer["status"] != Faults.SUCCESS:
                raise StackError(f"{answer['name']} cannot be started: {answer['description']}")

    def restart(self, group: str) -> None:
        """Restart the programs of a group. Raises `StackError` if one cannot be started."""
        self._call("stopProcessGroup", group, True)
        self.start(group)

    def programs(self) -> tuple[ProgramState, ...]:
        """Return the state of every program; empty once supervisord is stopping.

        Raises `StackError` if it does not answer.
        """
        try:
            answer = self._call("getAllProcessInfo")
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == Faults.SHUTDOWN_STATE:
                return ()
            raise StackError(f"supervisord refuses to answer: {fault.faultString}") from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise StackError(f"supervisord does not answer: {error}") from error
        return tuple(_state(info) for info in answer)

    def _call(self, method: str, *arguments: Any) -> Any:
        # The URL is ignored: the transport uses the socket.
        proxy = xmlrpc.client.ServerProxy(
            "http://supervisor", transport=SupervisorTransport(None, None, f"unix://{self._socket}")
        )
        with proxy:
            return getattr(proxy.supervisor, method)(*arguments)


def _state(info: Mapping[str, Any]) -> ProgramState:
    return ProgramState(
        name=info["name"],
        state=info["statename"],
        pid=info["pid"] or None,
        description=info["spawnerr"] or info["description"],
        log=Path(info["stdout_logfile"]),
    )


#: Enough for an executor to unload its model.
_TERMINATE_SECONDS = 10.0


def end_orphan_processes(home: Path) -> int:
    """End every process of the stack of `home`; return their number.

    Call this only while no supervisor runs: it would restart them.
    """
    orphans = [process for process in psutil.process_iter() if _stack_of(process) == str(home)]
    # Postgres ends its own child processes, which must not be signalled directly.
    parents = [process for process in orphans if process.ppid() not in {other.pid for other in orphans}]
    _signal(parents, force=False)
    _, alive = psutil.wait_procs(orphans, timeout=_TERMINATE_SECONDS)
    _signal(alive, force=True)
    psutil.wait_procs(alive, timeout=_TERMINATE_SECONDS)
    return len(orphans)


def _stack_of(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.environ().get(STACK_VARIABLE)
    except psutil.Error:  # already gone, or another user's
        return None


def _signal(processes: Iterable[psutil.Process], *, force: bool) -> None:
    for process in processes:
        try:
            process.kill() if force else process.terminate()
        except psutil.NoSuchProcess:
            continue
