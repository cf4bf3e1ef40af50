from __future__ import annotations

from pathlib import Path

import pytest

from transcription_dagster.errors import StackError
from transcription_dagster.stack.plan import Gpu, find_gpus, parse_gpus, select_visible

TABLE = "0, GPU-aaaa-1, NVIDIA H200\n1, GPU-bbbb-2, NVIDIA L4\n2, GPU-cccc-3, NVIDIA L4\n"
GPUS = parse_gpus(TABLE)


def _install_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_the_table_of_nvidia_smi_is_read():
    assert Gpu(0, "GPU-aaaa-1", "NVIDIA H200") == GPUS[0]
    assert [gpu.index for gpu in GPUS] == [0, 1, 2]


def test_without_a_selection_all_gpus_are_visible():
    assert select_visible(GPUS, None) == GPUS


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        ("2,0", ["GPU-cccc-3", "GPU-aaaa-1"]),
        (" 1 ", ["GPU-bbbb-2"]),
        ("GPU-bb,GPU-aaaa-1", ["GPU-bbbb-2", "GPU-aaaa-1"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1,7,2", ["GPU-bbbb-2"]),
    ],
)
def test_cuda_visible_devices_selects_and_renumbers(visible: str, uuids: list[str]):
    selected = select_visible(GPUS, visible)
    assert [gpu.uuid for gpu in selected] == uuids
    assert [gpu.index for gpu in selected] == list(range(len(uuids)))


def test_a_machine_without_the_driver_has_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gpus() == ()


def test_gpus_are_listed_by_the_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "table").write_text(TABLE)
    _install_nvidia_smi(tmp_path, monkeypatch, f"cat {tmp_path}/table")
    assert find_gpus() == GPUS
    assert [gpu.name for gpu in find_gpus("1")] == ["NVIDIA L4"]


def test_a_driver_without_a_device_is_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    _install_nvidia_smi(tmp_path, monkeypatch, "echo No devices were found; exit 6")
    assert find_gpus() == ()


def test_a_broken_driver_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    _install_nvidia_smi(tmp_path, monkeypatch, "echo couldn\\'t communicate with the NVIDIA driver; exit 9")
    with pytest.raises(StackError, match=r"couldn't communicate with the NVIDIA driver.*TRANSCRIPTION_GPUS=none"):
        find_gpus()
