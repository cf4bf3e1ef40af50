"""supervisord, which starts a stack's programs and restarts those that die: its configuration and its answers."""

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import Faults, SupervisorTransport

from transcription_dagster.errors import StackError
from transcription_dagster.stack.programs import ORDER, Program

#: In supervisor's files these begin a comment, also inside quotes.
_COMMENT = re.compile(r"\s[;#]|[\r\n]")

_DEFAULTS = {
    # `up` starts them in their order; supervisord only keeps them running.
    "autostart": "false",
    "autorestart": "true",
    # One that ends within this time counts as failed and is tried again after a growing pause: longer than an executor
    # on a busy machine takes to find out that it cannot load its model.
    "startsecs": "20",
    "startretries": "1000",
    "killasgroup": "true",
    "redirect_stderr": "true",
    "stdout_logfile_maxbytes": "20MB",
    "stdout_logfile_backups": "3",
}


@dataclass(frozen=True, slots=True)
class ProgramState:
    """What supervisord says of a program."""

    name: str
    #: STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN.
    state: str
    #: None: it has no process now.
    pid: int | None
    #: A sentence about the state: since when it runs, or why it does not.
    description: str
    log: Path

    @property
    def failed(self) -> bool:
        """Whether it ended when it should be running."""
        return self.state in ("BACKOFF", "EXITED", "FATAL", "UNKNOWN")


def configuration(programs: Sequence[Program], *, folder: Path, logs: Path) -> str:
    """Return supervisord's configuration for `programs`, with its sockets in `folder`.

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
        # As root it wants to be told whom to be; anybody else can only be himself.
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
    """Address of the socket that supervisord is controlled by."""
    return folder / "supervisor"


def _program_section(program: Program, logs: Path) -> dict[str, str]:
    return {
        "command": _value(shlex.join(program.command)),
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_seconds),
        # supervisor expands this one twice.
        "stdout_logfile": _value(logs / f"{program.name}.log").replace("%", "%%"),
        **({"user": program.user} if program.user else {}),
        **_DEFAULTS,
    }


def _value(value: str | Path) -> str:
    text = str(value)
    if _COMMENT.search(text):
        raise StackError(f"{text!r} holds a line break, or a ';' or '#' after a space: choose another folder")
    return text.replace("%", "%%")


def launch(configuration_file: Path, environment: Mapping[str, str]) -> None:
    """Start supervisord in a session of its own, where Ctrl+C in our terminal does not reach it.

    Raises `StackError` with its own words if it refuses.
    """
    command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(configuration_file)]
    finished = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise StackError(f"supervisord did not start: {(finished.stderr or finished.stdout).strip()}")


class Supervisor:
    """The control of a running supervisord, over its socket."""

    def __init__(self, folder: Path) -> None:
        self._socket = socket_path(folder)

    def pid(self) -> int | None:
        """Return supervisord's process id; None as long as it does not answer."""
        try:
            return self._call("getPID")
        except (OSError, http.client.HTTPException):
            return None

    def start(self, group: str) -> None:
        """Start the programs of a group, without waiting for them. Raises `StackError` if one cannot be run."""
        for answer in self._call("startProcessGroup", group, False):
            if answer["status"] != Faults.SUCCESS:
                raise StackError(f"{answer['name']} cannot be started: {answer['description']}")

    def restart(self, group: str) -> None:
        """Stop the programs of a group and start them again. Raises `StackError` if one cannot be run."""
        self._call("stopProcessGroup", group, True)
        self.start(group)

    def programs(self) -> tuple[ProgramState, ...]:
        """Return the state of every program; none once supervisord was asked to stop.

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
        # The URL is a formality: the transport goes to the socket.
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
