"""Devices that a run can be pinned to: the values of the tag `transcription/gpu`."""

from __future__ import annotations

import re
from collections.abc import Collection

from transcription_dagster.errors import InvalidGpu
from transcription_dagster.pool.names import ANY_GPU, GPU_TAG

#: Devices that runs can be pinned to until executors have registered.
GPUS = tuple(str(index) for index in range(16))
CPU_EXECUTORS = tuple(f"cpu:{index}" for index in range(16))

_GPU = re.compile(r"(?:(?:gpu|cuda)[\s:_-]*)?(\d{1,3})", re.IGNORECASE | re.ASCII)
_CPU = re.compile(r"cpu[\s:_-]*(\d{1,3})", re.IGNORECASE | re.ASCII)
_ANY = {ANY_GPU, "", "all", "gpu", "cuda", "*"}


def pinned_device(device: str) -> str:
    """Return the tag's value for an executor's device: `0` for `cuda:0`, `cpu:0` for `cpu:0`."""
    return device.removeprefix("cuda:")


def checked_pin(value: str, devices: Collection[str]) -> str:
    """Return the canonical form of the tag's value: `any`, a GPU's index, or `cpu:N` for an executor on the CPU.

    `devices` are the executors' devices in canonical form; if there are none, any possible device is accepted. Raises
    `InvalidGpu` with the valid values.
    """
    wanted = _spelled(value)
    if wanted == ANY_GPU or wanted in (devices or (*GPUS, *CPU_EXECUTORS)):
        return wanted
    there = ", ".join([ANY_GPU, *sorted(devices, key=_order)])
    known = f"it can be {there}" if devices else f"it can be {ANY_GPU} or the index of a GPU, such as 0"
    raise InvalidGpu(f"no executor serves {GPU_TAG}={value[:40]!r}: {known}")


def _spelled(value: str) -> str:
    text = value.strip()
    if text.lower() in _ANY:
        return ANY_GPU
    if found := _GPU.fullmatch(text):
        return str(int(found[1]))
    if found := _CPU.fullmatch(text):
        return f"cpu:{int(found[1])}"
    return text


def _order(device: str) -> tuple[str, int]:
    kind, _, index = device.rpartition(":")
    return kind, int(index) if index.isdecimal() else 0
