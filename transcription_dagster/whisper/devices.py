"""Devices: their names, how much fits into their memory, how long a recording may use one, and how they fail."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import torch
from whisper.model import ModelDimensions

from transcription_dagster.errors import (
    DeviceBroken,
    InvalidSetting,
    OutOfMemory,
    TimeLimitExceeded,
    TranscriptionAborted,
    TranscriptionError,
)

_log = logging.getLogger(__name__)

_numbers = itertools.count()

_GB = 1 << 30

#: Memory left free for intermediate results and the embedding model.
_GPU_RESERVE = 2 * _GB
_CPU_RESERVE = _GB // 2
#: Memory while a window is encoded: copies of all heads' attention, and of the state at all positions.
_ATTENTION_COPIES = 2
_STATE_COPIES = 14

#: Out-of-memory messages of libraries that do not raise torch's own exception.
_MEMORY_SIGNS = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "can't allocate memory",
    "not enough memory",
)

#: After these messages every later call in the process fails too.
_BROKEN_SIGNS = (
    "CUDA error",
    "device-side assert",
    "cuDNN error",
    "CUBLAS_STATUS_",
    "CUDNN_STATUS_",
    "CUDA driver",
    # CTranslate2's messages.
    "CUDA failed with error",
    "cuBLAS failed with status",
    "cuDNN failed with status",
)


def checked_device(device: str) -> str:
    """Return `cpu` or `cuda:N` for `cpu`, `cuda` or `cuda:N`. Raises `InvalidSetting` if it does not exist."""
    kind, _, index = device.partition(":")
    if device == "cpu":
        return device
    if kind != "cuda" or (index and not index.isdecimal()):
        raise InvalidSetting(f"{device!r} is not a device: cpu, cuda or cuda:N")
    present = torch.cuda.device_count()
    if int(index or 0) >= present:
        raise InvalidSetting(f"there is no GPU {index or 0}: this machine has {present or 'none'}")
    return f"cuda:{index or 0}"


class DeviceUse:
    """A recording's use of a device in seconds: its own work plus its share of work done for several together.

    A free slot goes to the recording that started first. The device's thread calls `should_stop` at every step.
    """

    def __init__(self, limit: float | None = None, should_stop: Callable[[], bool] = lambda: False) -> None:
        self.number = next(_numbers)
        self.seconds = 0.0
        self.limit = limit
        self._should_stop = should_stop

    def check(self) -> None:
        """Raise `TranscriptionAborted` if it should stop, `TimeLimitExceeded` if the limit is used up."""
        if self._should_stop():
            raise TranscriptionAborted
        if self.limit is not None and self.seconds > self.limit:
            raise TimeLimitExceeded(f"stopped after {self.seconds:.0f} s of work on the device")


def slot_bytes(dims: ModelDimensions, beams: int, item: int) -> int:
    """Return the size of a slot: keys and values of the audio and of each beam's text, `item` bytes per number."""
    return 2 * item * dims.n_text_layer * dims.n_text_state * (dims.n_audio_ctx + beams * dims.n_text_ctx)


def _pass_bytes(dims: ModelDimensions, item: int) -> int:
    """Return the peak memory of the pass over a window, which occurs during encoding."""
    attention = _ATTENTION_COPIES * dims.n_audio_head * dims.n_audio_ctx
    return item * dims.n_audio_ctx * (attention + _STATE_COPIES * dims.n_audio_state)


def slots_on(device: torch.device, dims: ModelDimensions, *, wanted: int, beams: int) -> int:
    """Return how many slots a device has memory for once the model is loaded: at most `wanted`, at least one."""
    if device.type == "cuda":
        # Memory that torch caches for future tensors counts as free.
        torch.cuda.empty_cache()
        free, item = torch.cuda.mem_get_info(device)[0] - _GPU_RESERVE, 2
    else:
        free, item = psutil.virtual_memory().available - _CPU_RESERVE, 4
    return slots_in(free, dims, wanted=wanted, beams=beams, item=item)


def slots_in(free: int, dims: ModelDimensions, *, wanted: int, beams: int, item: int) -> int:
    """Return how many slots fit into this many bytes beside a pass: at most `wanted`, at least one."""
    each = slot_bytes(dims, beams, item)
    fit = max(1, (free - _pass_bytes(dims, item)) // each)
    if fit < wanted:
        _log.warning("%d slots instead of %d: %.1f GB are free, each takes %.2f", fit, wanted, free / _GB, each / _GB)
    return min(wanted, fit)


@contextmanager
def device_errors() -> Iterator[None]:
    """Raise device errors of torch and CTranslate2 as `OutOfMemory` or `DeviceBroken`; pass on all other errors."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = device_error(error)
        if known is None:
            raise
        raise known from error


def device_error(error: Exception) -> TranscriptionError | None:
    """Return the `OutOfMemory` or `DeviceBroken` that an exception is or stands for, or None for any other error."""
    if isinstance(error, (OutOfMemory, DeviceBroken)):
        return error
    if not isinstance(error, (RuntimeError, MemoryError)):
        return None
    message = str(error)
    line = (message.splitlines() or [type(error).__name__])[0]
    ran_out = isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError))
    if ran_out or any(sign in message for sign in _MEMORY_SIGNS):
        return OutOfMemory(f"the device ran out of memory: {line}")
    if any(sign in message for sign in _BROKEN_SIGNS):
        return DeviceBroken(f"the device is unusable until this process is started again: {line}")
    return None
