"""The programs that a stack starts, and this machine's GPUs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from transcription_dagster.errors import StackError
from transcription_dagster.settings import Settings, load_settings
from transcription_dagster.stack.plan import Gpu, StackPlan, find_gpus, parse_gpus, plan_stack, select_visible

TWO = (Gpu(0, "GPU-a", "NVIDIA L4"), Gpu(1, "GPU-b", "NVIDIA H200"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, gpus=None, run_workers=None, cpu_executors=1, port=3000)


def make(settings: Settings, present: Sequence[Gpu] = TWO, **choices: object) -> StackPlan:
    return plan_stack(settings, look_for_gpus=lambda visible: present, **choices)  # type: ignore[arg-type]


def test_every_gpu_gets_an_executor(settings: Settings):
    assert make(settings).executors == ("0", "1")
    assert make(settings).notes == ()


def test_gpus_can_be_chosen_and_each_is_taken_once(settings: Settings):
    assert make(settings, gpus="1").executors == ("1",)
    assert make(settings, gpus="1, 0,1").executors == ("1", "0")


def test_n_executors_take_the_first_gpus_or_share_the_cpu(settings: Settings):
    assert make(settings, executors=1).executors == ("0",)
    assert make(settings, executors=1, gpus="1,0").executors == ("1",)
    assert make(settings, executors=1).run_workers == min(3, os.cpu_count() or 1)
    assert make(settings, present=(), executors=3).executors == ("cpu:0", "cpu:1", "cpu:2")
    assert make(settings, gpus="none", executors=2).executors == ("cpu:0", "cpu:1")


def test_more_executors_than_gpus_are_refused(settings: Settings):
    with pytest.raises(StackError, match="2 executors need as many GPUs, but only these are available: 1"):
        make(settings, gpus="1", executors=2)


def test_the_setting_chooses_when_the_call_does_not(settings: Settings):
    planned = settings.model_copy(update={"gpus": "1"})
    assert make(planned).executors == ("1",)
    assert make(planned, gpus="0").executors == ("0",)


@pytest.mark.parametrize("selection", ["2", "0,7", "x", "", "0;1", "-1", "01"])
def test_a_missing_gpu_is_refused_with_the_existing_ones(settings: Settings, selection: str):
    with pytest.raises(StackError, match=r"is not there; GPUs of this machine: 0 \(NVIDIA L4\), 1 \(NVIDIA H200\)"):
        make(settings, gpus=selection)


def test_requesting_a_gpu_without_one_is_refused(settings: Settings):
    with pytest.raises(StackError, match="GPU '0' is not there; GPUs of this machine: none"):
        make(settings, present=(), gpus="0")


def test_without_a_gpu_the_cpu_is_used_and_reported(settings: Settings):
    plan = make(settings, present=())
    assert plan.executors == ("cpu:0",)
    assert "No GPU was found" in plan.notes[0]


def test_cpu_executors_are_used_where_there_is_no_gpu(settings: Settings):
    assert make(settings.model_copy(update={"cpu_executors": 3}), present=()).executors == ("cpu:0", "cpu:1", "cpu:2")


def test_requesting_cpu_executors_leaves_gpus_unused(settings: Settings):
    assert make(settings, cpu_executors=2).executors == ("cpu:0", "cpu:1")
    assert make(settings, gpus="none").executors == ("cpu:0",)


def test_the_driver_is_not_queried_without_need(settings: Settings):
    def broken(visible: str | None) -> Sequence[Gpu]:
        raise StackError("nvidia-smi failed")

    assert plan_stack(settings, gpus="none", look_for_gpus=broken).executors == ("cpu:0",)
    with pytest.raises(StackError):
        plan_stack(settings, look_for_gpus=broken)


def test_cuda_visible_devices_is_passed_to_the_search(settings: Settings):
    searched: list[str | None] = []

    def look(visible: str | None) -> Sequence[Gpu]:
        searched.append(visible)
        return TWO

    plan_stack(settings.model_copy(update={"cuda_visible_devices": "1,0"}), look_for_gpus=look)
    assert searched == ["1,0"]


def test_run_workers_are_limited_by_executors_and_cores(settings: Settings):
    cores = os.cpu_count() or 1
    assert make(settings, gpus="0").run_workers == min(34, cores)
    assert make(settings.model_copy(update={"runs_per_gpu": 1}), gpus="0").run_workers == 1
    assert make(settings.model_copy(update={"runs_per_gpu": 1000})).run_workers == cores


def test_the_number_of_run_workers_can_be_set(settings: Settings):
    planned = settings.model_copy(update={"run_workers": 7})
    assert make(planned).run_workers == 7
    assert make(planned, run_workers=9).run_workers == 9


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "server.example.org"])
def test_a_ui_reachable_by_others_needs_a_login(settings: Settings, host: str):
    with pytest.raises(StackError, match=rf"anyone who can reach {host} could use the UI: set TRANSCRIPTION_UI_PASS"):
        make(settings, host=host)
    assert make(settings.model_copy(update={"ui_password": SecretStr("secret")}), host=host).notes == ()
    (note,) = make(settings.model_copy(update={"ui_trust_proxy": True}), host=host).notes
    assert "only the proxy" in note


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_a_local_ui_needs_no_login(settings: Settings, host: str):
    assert make(settings, host=host).notes == ()


def test_port_zero_is_kept_for_the_start(settings: Settings):
    assert make(settings, port=0).port == 0
    assert make(settings).port == 3000


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


def test_the_setting_accepts_any_free_port_like_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIPTION_PORT", "0")
    assert plan_stack(load_settings(home=tmp_path, cpu_executors=1), gpus="none").port == 0
