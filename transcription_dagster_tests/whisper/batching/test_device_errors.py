"""Translation of device failures into the program's errors."""

from __future__ import annotations

import pytest
import torch

from transcription_dagster.errors import DeviceBroken, OutOfMemory, PermanentError, TransientError
from transcription_dagster.whisper.batching.device_errors import device_errors

OUT_OF_MEMORY = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ..."),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4000000000 bytes."),
    MemoryError(),
    RuntimeError("CUDA failed with error out of memory"),
]

BROKEN = [
    RuntimeError("CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: unspecified launch failure"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
    RuntimeError("CUDA driver error: unknown error"),
    RuntimeError("CUDA failed with error an illegal memory access was encountered"),
    RuntimeError("cuBLAS failed with status CUBLAS_STATUS_EXECUTION_FAILED"),
]

NEITHER = [
    RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
    ValueError("CUDA error: not from torch"),
    KeyError("out of memory"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_running_out_of_memory_is_permanent_for_the_recording(error):
    with pytest.raises(OutOfMemory, match="ran out of memory") as caught, device_errors():
        raise error
    assert isinstance(caught.value, PermanentError)
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", BROKEN, ids=str)
def test_a_broken_context_is_transient(error):
    with pytest.raises(DeviceBroken, match="unusable") as caught, device_errors():
        raise error
    assert isinstance(caught.value, TransientError)


@pytest.mark.parametrize("error", NEITHER, ids=repr)
def test_other_errors_are_unchanged(error):
    with pytest.raises(type(error)) as caught, device_errors():
        raise error
    assert caught.value is error
