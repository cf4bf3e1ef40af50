"""Names of the queues, tasks, notification channels and run tags, and the devices that a run can be pinned to."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from transcription_dagster.errors import InvalidGpu

#: Dagster runs, claimed by run workers.
RUNS_QUEUE: Final = "runs"
#: Requests for any GPU executor.
GPU_QUEUE: Final = "gpu"

#: Tasks that prune the queues and Dagster's history, claimed by run workers.
HOUSEKEEPING_QUEUE: Final = "housekeeping"

#: Execute one Dagster run: `run_id`.
EXECUTE_RUN_TASK: Final = "execute_run"
#: Transcribe one recording: `key` of its row in `inference_requests`.
TRANSCRIBE_TASK: Final = "transcribe"
#: Embed the texts of one recording: `key` of its row in `inference_requests`.
EMBED_TASK: Final = "embed"
#: Diarize one recording: `key` of its row in `inference_requests`.
SPEAKERS_TASK: Final = "speakers"

#: Delete old answers and ended jobs.
PRUNE_QUEUES_TASK: Final = "prune_queues"
#: Remove Dagster's old history, if the settings limit it.
PRUNE_HISTORY_TASK: Final = "prune_history"

#: Notification channel: the key of an inference request whenever its state changes.
INFERENCE_CHANNEL: Final = "inference_requests"

#: On an op: this step needs a GPU. On a run: `any`, or the GPU (such as `1`) that the run is pinned to.
GPU_TAG: Final = "transcription/gpu"
#: On a run: the batch that requested it.
BATCH_TAG: Final = "transcription/batch"
#: On a run: the source whose sensor requested it.
SOURCE_TAG: Final = "transcription/source"
#: On a run: version and digest of the shared settings it was executed with.
SETTINGS_TAG: Final = "transcription/settings"
#: The value of `GPU_TAG` for the first free executor.
ANY_GPU: Final = "any"


def gpu_queue(device: str) -> str:
    """Return the queue for work on `device` (`any`, or a GPU's index)."""
    return GPU_QUEUE if device == ANY_GPU else f"{GPU_QUEUE}:{device}"


def run_job_key(run_id: str) -> str:
    """Return the job's key for a Dagster run, so that a run is never queued twice."""
    return f"run:{run_id}"


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
    pin = _spelled(value)
    if pin == ANY_GPU or pin in (devices or (*GPUS, *CPU_EXECUTORS)):
        return pin
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
