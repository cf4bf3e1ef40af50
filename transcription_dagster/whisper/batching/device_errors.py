"""Translate errors of failing devices into the program's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from transcription_dagster.errors import DeviceBroken, OutOfMemory, TranscriptionError

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
