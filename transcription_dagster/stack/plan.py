"""Decide which programs a stack starts, where its UI is, and on which GPUs it works.

This machine's GPUs are listed with the driver's own tool, which avoids importing torch.
"""

from __future__ import annotations

import csv
import ipaddress
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transcription_dagster.errors import StackError
from transcription_dagster.settings import Settings

#: Waking a GPU takes seconds; a broken one can block the tool forever.
_ANSWER_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, numbered as child processes number it."""

    index: int
    uuid: str
    name: str


def find_gpus(visible: str | None = None) -> tuple[Gpu, ...]:
    """Return the GPUs that child processes can use; none without an NVIDIA driver.

    `visible` is the value of CUDA_VISIBLE_DEVICES, which selects and renumbers GPUs; None if it is unset. Raises
    `StackError` if there is a driver but it does not work: falling back to the CPU would hide the fault.
    """
    query = ["nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=True)
    except FileNotFoundError:
        return ()
    except subprocess.TimeoutExpired:
        raise StackError(f"nvidia-smi did not answer within {_ANSWER_SECONDS} s: a GPU or its driver hangs") from None
    except subprocess.CalledProcessError as error:
        reason = " ".join((error.stdout + error.stderr).split())
        if "No devices were found" in reason:
            return ()
        raise StackError(f"nvidia-smi failed: {reason}; set TRANSCRIPTION_GPUS=none to work without a GPU") from None
    return select_visible(parse_gpus(answer.stdout), visible)


def parse_gpus(table: str) -> tuple[Gpu, ...]:
    """Read nvidia-smi's table of index, UUID and name."""
    rows = csv.reader(table.splitlines(), skipinitialspace=True)
    return tuple(Gpu(int(index), uuid, name) for index, uuid, name in rows)


def select_visible(gpus: Sequence[Gpu], visible: str | None) -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES selects, renumbered in its order, as CUDA does.

    An entry is an index or a UUID prefix, and the first entry that matches no GPU ends the list:
    https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#cuda-environment-variables
    """
    if visible is None:
        return tuple(gpus)
    selected: list[Gpu] = []
    for entry in map(str.strip, visible.split(",")):
        gpu = next((gpu for gpu in gpus if _matches(entry, gpu)), None)
        if gpu is None:
            break
        selected.append(Gpu(len(selected), gpu.uuid, gpu.name))
    return tuple(selected)


def _matches(entry: str, gpu: Gpu) -> bool:
    return entry == str(gpu.index) or (entry.startswith("GPU-") and gpu.uuid.startswith(entry))


@dataclass(frozen=True, slots=True)
class StackPlan:
    """The parts of a stack, derived from options, settings and the machine."""

    host: str
    #: 0: any free port.
    port: int
    #: The device of each executor: a GPU's index as `0`, or a CPU slot as `cpu:0`.
    executors: tuple[str, ...]
    run_workers: int
    #: Messages for the user.
    notes: tuple[str, ...] = ()
    #: Start only executors and run workers, for the stack that is up on the same database.
    workers_only: bool = False

    @property
    def url(self) -> str:
        """Return the address at which this machine reaches the UI."""
        return base_url(self.host, self.port)

    @property
    def advertised_url(self) -> str:
        """Return the UI's address for other machines: the host name if it is bound to all addresses."""
        everywhere = self.host in ("0.0.0.0", "::")  # noqa: S104  compared with, not bound to
        return base_url(socket.gethostname() if everywhere else self.host, self.port)


def base_url(host: str, port: int) -> str:
    """Return the address at which this machine reaches a web server bound to `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared with, not bound to
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def plan_stack(
    settings: Settings,
    *,
    gpus: str | None = None,
    run_workers: int | None = None,
    cpu_executors: int | None = None,
    executors: int | None = None,
    host: str | None = None,
    port: int | None = None,
    workers_only: bool = False,
    look_for_gpus: Callable[[str | None], Sequence[Gpu]] = find_gpus,
) -> StackPlan:
    """Decide what to start. Arguments override the settings of the same name.

    Requesting CPU executors leaves the GPUs unused unless the same call requests GPUs too. Raises `StackError` if a
    requested GPU does not exist, or if the UI would be open to the network without a login.
    """
    selection = gpus if gpus is not None else "none" if cpu_executors is not None else settings.gpus
    slots = executors or (settings.cpu_executors if cpu_executors is None else cpu_executors)
    devices, notes = _executors(selection, slots, lambda: look_for_gpus(settings.cuda_visible_devices))
    if executors is not None:
        devices = _first(devices, executors)
    host = settings.host if host is None else host
    if not workers_only and not _is_loopback(host) and settings.ui_password is None:
        notes += (_note_without_login(host, settings),)
    return StackPlan(
        host=host,
        port=settings.port if port is None else port,
        executors=devices,
        run_workers=run_workers or settings.run_workers or _default_run_workers(settings, devices),
        notes=notes,
        workers_only=workers_only,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _note_without_login(host: str, settings: Settings) -> str:
    if not settings.ui_trust_proxy:
        raise StackError(
            f"anyone who can reach {host} could use the UI: set TRANSCRIPTION_UI_PASSWORD, or "
            "TRANSCRIPTION_UI_TRUST_PROXY=true if a proxy in front of it requires a login"
        )
    return f"The UI on {host} has no password: make sure that only the proxy in front of it can reach it."


def _executors(
    selection: str | None, slots: int, find: Callable[[], Sequence[Gpu]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the executors' devices, and messages about the choice."""
    if selection is None:
        gpus = find()
        if gpus:
            return tuple(str(gpu.index) for gpu in gpus), ()
        return _cpu_slots(slots), (f"No GPU was found: transcribing on the CPU, with {_count(slots, 'executor')}.",)
    if selection.strip().lower() == "none":
        return _cpu_slots(slots), ()
    return _selected(selection, find()), ()


def _selected(selection: str, gpus: Sequence[Gpu]) -> tuple[str, ...]:
    present = {str(gpu.index) for gpu in gpus}
    selected = tuple(dict.fromkeys(part.strip() for part in selection.split(",")))
    missing = [index for index in selected if index not in present]
    if missing:
        listing = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in gpus) or "none"
        raise StackError(f"GPU {', '.join(map(repr, missing))} is not there; GPUs of this machine: {listing}")
    return selected


def _first(devices: tuple[str, ...], count: int) -> tuple[str, ...]:
    if count > len(devices):
        raise StackError(
            f"{_count(count, 'executor')} need as many GPUs, but only these are available: {', '.join(devices)}"
        )
    return devices[:count]


def _cpu_slots(count: int) -> tuple[str, ...]:
    return tuple(f"cpu:{slot}" for slot in range(count))


def _default_run_workers(settings: Settings, devices: tuple[str, ...]) -> int:
    return max(1, min(sum(map(settings.runs_for, devices)), os.cpu_count() or 1))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
