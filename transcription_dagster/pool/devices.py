"""What a run may be pinned to: the values of the tag `transcription/gpu`."""

from __future__ import annotations

import re
from collections.abc import Collection

from transcription_dagster.errors import InvalidGpu
from transcription_dagster.pool.names import ANY_GPU, GPU_TAG

#: Executors of each kind that a machine may have; runs can be pinned to them before any of them has registered.
GPUS = tuple(str(index) for index in range(16))
CPU_EXECUTORS = tuple(f"cpu:{index}" for index in range(16))

_GPU = re.compile(r"(?:(?:gpu|cuda)[\s:_-]*)?(\d{1,3})", re.IGNORECASE | re.ASCII)
_CPU = re.compile(r"cpu[\s:_-]*(\d{1,3})", re.IGNORECASE | re.ASCII)
_ANY = {ANY_GPU, "", "all", "gpu", "cuda", "*"}


def pinned_device(device: str) -> str:
    """Name an executor's device (`cuda:0`, `cpu:0`) as the tag does (`0`, `cpu:0`)."""
    return device.removeprefix("cuda:")


def checked_pin(value: str, devices: Collection[str]) -> str:
    """Return the tag's value in its one spelling: `any`, the index of a GPU, or `cpu:N` for an executor on the CPU.

    `devices` are those that executors have, named as the tag does; while there are none, any that could come is taken.
    Raises `InvalidGpu` with the values that exist.
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
