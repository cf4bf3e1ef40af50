"""Start a stack, find the running one, and stop it."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from transcription_dagster.atomic_files import replacing
from transcription_dagster.errors import StackError, StoreUnavailable
from transcription_dagster.settings import Settings
from transcription_dagster.stack.home import open_home, runtime_folder
from transcription_dagster.stack.one_stack import find_daemon, refuse_contradictions, refuse_second
from transcription_dagster.stack.plan import StackPlan
from transcription_dagster.stack.postgres import answers, database_url, prepare_postgres, wait_until_ready
from transcription_dagster.stack.programs import CODE_SERVER, DAEMON, GPU_WORKER, WORKER_COMMANDS
from transcription_dagster.stack.startup import Startup
from transcription_dagster.stack.supervisor import ProgramState, Supervisor, end_orphan_processes
from transcription_dagster.store.object_store import ObjectStore

#: How long an external database may take to answer at start-up.
_DATABASE_SECONDS = 5.0
#: How long aborted workers may take to return their work.
_ABORT_SECONDS = 15.0
_POLL_SECONDS = 0.1
#: Tolerance in seconds: a process's creation time counts from the boot time, which shifts with the clock.
_CLOCK_SECONDS = 2.0


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A running stack, started by this process or another."""

    home: Path
    #: supervisord's process id and creation time; the id alone may be reused.
    pid: int
    created: float
    #: Address of the UI; empty if this stack only has workers for a stack elsewhere.
    url: str
    executors: tuple[str, ...]
    run_workers: int

    def alive(self) -> bool:
        """Return whether its supervisor runs."""
        return self._process() is not None

    def programs(self) -> tuple[ProgramState, ...]:
        """Return each program's state; empty while it stops. Raises `StackError` if supervisord does not answer."""
        return Supervisor(runtime_folder(self.home)).programs()

    def restart_definitions(self) -> None:
        """Restart the programs that load the definitions, except workers, which restart themselves."""
        control = Supervisor(runtime_folder(self.home))
        for group in (DAEMON, CODE_SERVER):
            control.restart(group)

    def stop(self, *, abort: Callable[[], bool] = _never) -> None:
        """Stop it: the workers finish their work, then everything else ends, Postgres last.

        Once `abort` returns True, the workers return their work instead. So do run workers once the last executor has
        ended: a stack that stops starts no other. Returns when no process is left.
        """
        process = self._process()
        if process is not None:
            while _is_starting_a_program(process):
                time.sleep(_POLL_SECONDS)
            process.terminate()
            while self.alive() and not abort() and not self._lacks_executors(process):
                time.sleep(_POLL_SECONDS)
            self._abort(process)
        end_orphan_processes(self.home)
        _state_file(self.home).unlink(missing_ok=True)

    def _abort(self, supervisor: psutil.Process) -> None:
        """Signal the workers a second time, then kill them, so that the stopping supervisor continues."""
        _signal_workers(supervisor, signal.SIGTERM)
        deadline = time.monotonic() + _ABORT_SECONDS
        while self.alive():
            if time.monotonic() > deadline:
                _signal_workers(supervisor, signal.SIGKILL)
            time.sleep(_POLL_SECONDS)

    def _lacks_executors(self, supervisor: psutil.Process) -> bool:
        return bool(self.executors) and not any(_has_argument(child, {GPU_WORKER}) for child in _children(supervisor))

    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _CLOCK_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def running(settings: Settings) -> RunningStack | None:
    """Return the running stack of this home; None if there is none."""
    try:
        values = json.loads(_state_file(settings.home).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    stack = RunningStack(**{**values, "home": settings.home, "executors": tuple(values["executors"])})
    return stack if stack.alive() else None


def ui_address(settings: Settings) -> str | None:
    """Return the UI's address of this installation, on this machine or another; None if no stack is up.

    Raises `DatabaseUnavailable` if the database that knows it does not answer.
    """
    stack = running(settings)
    if stack is not None and stack.url:
        return stack.url
    if settings.database_url is None:
        return None
    daemon = find_daemon(settings.database_url.get_secret_value())
    return daemon.url if daemon else None


def start(
    plan: StackPlan, settings: Settings, *, cancelled: Callable[[], bool] = _never, writes_settings: bool = True
) -> RunningStack:
    """Start the programs of `plan` and return when all of them work, or stop once `cancelled` returns True.

    `settings` become the shared settings. With `writes_settings` false, settings already in the database stay in force
    and `settings` must not contradict them.
    Raises `StackError`, `StoreRefused`, or `DatabaseUnavailable` for an external database, and leaves nothing running.
    """
    with _exclusive_start(settings.home):
        existing = running(settings)
        if existing is not None:
            where = f" at {existing.url}" if existing.url else ""
            raise StackError(
                f"a stack of {settings.home} is up{where}, under process {existing.pid}; "
                f"`kill {existing.pid}` ends it as Ctrl+C does"
            )
        end_orphan_processes(settings.home)
        url = database_url(settings)
        if not plan.workers_only:
            plan = replace(plan, port=claim_port(plan.host, plan.port))
        if settings.database_url is not None:
            wait_until_ready(url, _DATABASE_SECONDS)
            refuse_contradictions(settings, url) if plan.workers_only else refuse_second(url)
        elif answers(url):
            raise StackError(f"another command uses the embedded database of {settings.home}; wait for it to finish")
        if writes_settings and not plan.workers_only:
            _refuse_unusable_store(settings)
        postgres = prepare_postgres(settings) if settings.database_url is None else None
        startup = Startup(plan, settings, url, postgres, cancelled, writes_settings)
        try:
            pid = startup.launch()
            stack = record_stack(plan, settings.home, pid)
            startup.bring_up()
        except BaseException:
            _tear_down(settings)
            raise
        return stack


def _refuse_unusable_store(settings: Settings) -> None:
    """Raise `StoreRefused` if the store takes no files: every recording would fail. A server may still come back."""
    with suppress(StoreUnavailable):
        ObjectStore(settings.store_url).check_writable()


def claim_port(host: str, port: int) -> int:
    """Return `port` if it is free on `host`, or any free port for 0. Raises `StackError` if it is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do: connections in TIME_WAIT must not block the port for minutes.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return probe.getsockname()[1]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StackError(f"port {port} on {host} is in use; choose another one with --port") from None
        raise StackError(f"the web server cannot listen on {host}, port {port}: {error.strerror}") from None


def record_stack(plan: StackPlan, home: Path, pid: int) -> RunningStack:
    """Record supervisord's `pid` for other processes."""
    created = psutil.Process(pid).create_time()
    url = "" if plan.workers_only else plan.url
    stack = RunningStack(home, pid, created, url, plan.executors, plan.run_workers)
    with replacing(_state_file(home)) as file:
        file.write(json.dumps(asdict(stack), default=os.fspath).encode())
    return stack


def _tear_down(settings: Settings) -> None:
    """Kill what a failed start left behind: no process has work yet."""
    stack = running(settings)
    if stack is not None:
        stack.stop(abort=lambda: True)
    end_orphan_processes(settings.home)


def _state_file(home: Path) -> Path:
    return home / "stack.json"


def _is_starting_a_program(supervisor: psutil.Process) -> bool:
    """Return whether a child has been forked but not yet executed its program: it would miss a stop signal."""
    for child in _children(supervisor):
        with suppress(psutil.NoSuchProcess):
            if child.cmdline() == supervisor.cmdline():
                return True
    return False


def _signal_workers(supervisor: psutil.Process, number: signal.Signals) -> None:
    for program in _children(supervisor):
        if _has_argument(program, WORKER_COMMANDS):
            with suppress(psutil.NoSuchProcess):
                program.send_signal(number)


def _has_argument(process: psutil.Process, arguments: AbstractSet[str]) -> bool:
    """Return whether the command line of a process, unless that has ended, contains one of `arguments`."""
    try:
        return not arguments.isdisjoint(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _children(supervisor: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return supervisor.children()
    return []


@contextmanager
def _exclusive_start(home: Path) -> Iterator[None]:
    try:
        open_home(home)
        lock = FileLock(home / "stack.lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise StackError(f"another process is starting a stack on {home}") from None
    except OSError as error:
        raise StackError(f"the home {home} cannot be used: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()
