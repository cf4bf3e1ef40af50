"""What a device can hold, how long a recording may use it, and how its failures are reported."""

from __future__ import annotations

import pytest
import torch
from whisper.model import ModelDimensions

from transcription_dagster.errors import (
    DeviceBroken,
    OutOfMemory,
    PermanentError,
    TimeLimitExceeded,
    TranscriptionAborted,
    TransientError,
)
from transcription_dagster.whisper.devices import DeviceUse, device_errors, slot_bytes, slots_in


def test_a_recording_continues_within_its_limit() -> None:
    use = DeviceUse()
    use.seconds = 1e9
    use.check()


def test_a_recording_ends_at_its_limit() -> None:
    use = DeviceUse(limit=2.0)
    use.seconds = 2.0
    use.check()
    use.seconds = 2.6
    with pytest.raises(TimeLimitExceeded, match="after 3 s"):
        use.check()


def test_a_stopped_recording_ends_before_its_limit() -> None:
    stop: list[bool] = []
    use = DeviceUse(limit=2.0, should_stop=lambda: bool(stop))
    use.check()
    stop.append(True)
    use.seconds = 3.0
    with pytest.raises(TranscriptionAborted):
        use.check()


def test_the_oldest_recording_gets_a_slot_first() -> None:
    uses = [DeviceUse() for _ in range(3)]
    assert sorted(uses, key=lambda use: use.number) == uses


GB = 1 << 30
LARGE = ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 32)
TURBO = ModelDimensions(128, 1500, 1280, 20, 32, 51866, 448, 1280, 20, 4)


@pytest.mark.parametrize(
    ("dims", "beams", "megabytes"), [(LARGE, 1, 319), (LARGE, 5, 613), (TURBO, 1, 40), (TURBO, 5, 77)]
)
def test_a_slot_of_a_published_model_in_half_precision(dims: ModelDimensions, beams: int, megabytes: int) -> None:
    assert round(slot_bytes(dims, beams, 2) / 1e6) == megabytes


@pytest.mark.parametrize(("free", "wanted", "slots"), [(40, 32, 32), (40, 3, 3), (8, 32, 26), (1, 32, 2), (0, 32, 1)])
def test_free_memory_sets_the_number_of_slots_with_a_minimum_of_one(free: int, wanted: int, slots: int) -> None:
    assert slots_in(free * GB, LARGE, wanted=wanted, beams=1, item=2) == slots


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
