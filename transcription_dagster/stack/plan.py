"""Decide which programs a stack starts, before any of them exists."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transcription_dagster.errors import StackError
from transcription_dagster.settings import Settings
from transcription_dagster.stack.gpus import Gpu, find_gpus


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
    asked = gpus if gpus is not None else "none" if cpu_executors is not None else settings.gpus
    slots = executors or (settings.cpu_executors if cpu_executors is None else cpu_executors)
    devices, notes = _executors(asked, slots, lambda: look_for_gpus(settings.cuda_visible_devices))
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
    asked: str | None, slots: int, look: Callable[[], Sequence[Gpu]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the executors' devices, and messages about the choice."""
    if asked is None:
        found = look()
        if found:
            return tuple(str(gpu.index) for gpu in found), ()
        return _cpu_slots(slots), (f"No GPU was found: transcribing on the CPU, with {_count(slots, 'executor')}.",)
    if asked.strip().lower() == "none":
        return _cpu_slots(slots), ()
    return _chosen(asked, look()), ()


def _chosen(asked: str, found: Sequence[Gpu]) -> tuple[str, ...]:
    there = {str(gpu.index): gpu for gpu in found}
    chosen = tuple(dict.fromkeys(part.strip() for part in asked.split(",")))
    missing = [part for part in chosen if part not in there]
    if missing:
        listing = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in found) or "none"
        raise StackError(f"GPU {', '.join(map(repr, missing))} is not there; GPUs of this machine: {listing}")
    return chosen


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
