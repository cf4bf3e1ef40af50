"""Devices that a run can be pinned to."""

from __future__ import annotations

import pytest

from transcription_dagster.errors import InvalidGpu
from transcription_dagster.pool.devices import checked_pin, gpu_queue, pinned_device

POOL = {"0", "1", "10", "cpu:0"}


@pytest.mark.parametrize("device", ["cuda:0", "cuda:10", "cpu:0"])
def test_the_device_of_every_executor_is_a_value_that_reaches_its_queue(device: str) -> None:
    pin = pinned_device(device)
    assert checked_pin(pin, POOL) == pin
    assert checked_pin(device, POOL) == pin
    assert gpu_queue(pin) == f"gpu:{pin}"


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ("any", "any"), ("ANY", "any"), ("", "any"), ("gpu", "any"),
        ("1", "1"), (" 1 ", "1"), ("01", "1"), ("gpu1", "1"), ("GPU 1", "1"), ("gpu-1", "1"), ("gpu_1", "1"),
        ("cuda:1", "1"), ("cuda1", "1"), ("CUDA:10", "10"), ("cpu0", "cpu:0"), ("CPU:0", "cpu:0"), ("cpu-0", "cpu:0"),
    ],
)  # fmt: skip
def test_unambiguous_notations_are_understood(value: str, canonical: str) -> None:
    assert checked_pin(value, POOL) == canonical


@pytest.mark.parametrize(
    "value", ["17", "2", "-1", "1.0", "cuda:", "cuda:7", "gpu17", "cpu:1", "0,1", "first", "cuda:0:1", "٣", "1" * 50]
)
def test_an_unserved_device_is_refused_with_the_existing_ones(value: str) -> None:
    with pytest.raises(InvalidGpu, match=r"no executor serves transcription/gpu=.*it can be any, 0, 1, 10, cpu:0$"):
        checked_pin(value, POOL)


@pytest.mark.parametrize("value", ["0", "15", "cuda:3", "cpu:2"])
def test_before_any_executor_registers_all_possible_devices_are_accepted(value: str) -> None:
    assert checked_pin(value, ()) == pinned_device(value)


@pytest.mark.parametrize("value", ["17", "first", "cuda:99"])
def test_before_any_executor_registers_impossible_devices_are_refused(value: str) -> None:
    with pytest.raises(InvalidGpu, match="it can be any or the index of a GPU"):
        checked_pin(value, ())
