"""The devices that a run can be pinned to: the run tag `transcription/gpu`, its values, and the executors' queues."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from transcription_dagster.errors import InvalidGpu

#: On an op: this step needs a GPU. On a run: `any`, or the GPU (such as `1`) that the run is pinned to.
GPU_TAG: Final = "transcription/gpu"
#: The value of `GPU_TAG` for the first free executor.
ANY_GPU: Final = "any"

#: Requests for any GPU executor.
GPU_QUEUE: Final = "gpu"

#: Devices that runs can be pinned to until executors have registered.
GPUS = tuple(str(index) for index in range(16))
CPU_EXECUTORS = tuple(f"cpu:{index}" for index in range(16))

_GPU = re.compile(r"(?:(?:gpu|cuda)[\s:_-]*)?(\d{1,3})", re.IGNORECASE | re.ASCII)
_CPU = re.compile(r"cpu[\s:_-]*(\d{1,3})", re.IGNORECASE | re.ASCII)
_ANY = {ANY_GPU, "", "all", "gpu", "cuda", "*"}


def gpu_queue(device: str) -> str:
    """Return the queue for work on `device` (`any`, or a GPU's index)."""
    return GPU_QUEUE if device == ANY_GPU else f"{GPU_QUEUE}:{device}"


def pinned_device(device: str) -> str:
    """Return the tag's value for an executor's device: `0` for `cuda:0`, `cpu:0` for `cpu:0`."""
    return device.removeprefix("cuda:")


def checked_pin(value: str, devices: Collection[str]) -> str:
    """Return the canonical form of the tag's value: `any`, a GPU's index, or `cpu:N` for an executor on the CPU.

    `devices` are the executors' devices in canonical form; if there are none, any possible device is accepted. Raises
    `InvalidGpu` with the valid values.
    """
    pin = _normalised(value)
    if pin == ANY_GPU or pin in (devices or (*GPUS, *CPU_EXECUTORS)):
        return pin
    served = ", ".join([ANY_GPU, *sorted(devices, key=_order)])
    advice = f"it can be {served}" if devices else f"it can be {ANY_GPU} or the index of a GPU, such as 0"
    raise InvalidGpu(f"no executor serves {GPU_TAG}={value[:40]!r}: {advice}")


def _normalised(value: str) -> str:
    text = value.strip()
    if text.lower() in _ANY:
        return ANY_GPU
    if match := _GPU.fullmatch(text):
        return str(int(match[1]))
    if match := _CPU.fullmatch(text):
        return f"cpu:{int(match[1])}"
    return text


def _order(device: str) -> tuple[str, int]:
    kind, _, index = device.rpartition(":")
    return kind, int(index) if index.isdecimal() else 0
