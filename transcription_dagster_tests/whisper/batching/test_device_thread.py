"""The device's thread: sessions of several threads, calls between steps, and a device that breaks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from whisper.audio import N_FRAMES
from whisper.decoding import detect_language

from transcription_dagster.errors import DeviceBroken
from transcription_dagster.whisper.batching.batch import Batch, Session
from transcription_dagster.whisper.batching.device_thread import DeviceThread, ModelAccess
from transcription_dagster.whisper.decoding.requests import Detect, Requests, Window
from transcription_dagster.whisper.devices import DeviceUse
from transcription_dagster_tests.whisper.layouts import small_model

SOUNDS = [torch.randn((80, N_FRAMES), generator=torch.Generator().manual_seed(seed)) for seed in range(4)]


@pytest.fixture
def batch() -> Batch:
    return Batch(small_model(), 2)


WHOLE = ((0, N_FRAMES),)


def languages_of(sound: torch.Tensor, parts: tuple[tuple[int, int], ...] = WHOLE) -> Requests[list[dict[str, float]]]:
    return (yield Detect(Window(0, N_FRAMES, sound), parts))


def test_requests_of_many_threads_get_their_own_answers(batch: Batch) -> None:
    device = DeviceThread()

    def languages(sound: torch.Tensor) -> list[dict[str, float]]:
        return ModelAccess(device, batch, DeviceUse()).run(languages_of(sound))

    alone = [languages(sound) for sound in SOUNDS]
    assert len({max(likely, key=likely.__getitem__) for [likely] in alone}) > 1 or alone[0] != alone[1]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(languages, SOUNDS))
    for (likely,), (expected,) in zip(together, alone, strict=True):
        assert likely == pytest.approx(expected, abs=1e-5)
    assert device.between_steps(lambda: batch.busy) == 0


def test_languages_of_parts_come_from_the_windows_encoding(batch: Batch) -> None:
    sound = SOUNDS[0]
    encoded: list[None] = []
    handle = batch.model.encoder.register_forward_hook(lambda *_: encoded.append(None))
    access = ModelAccess(DeviceThread(), batch, DeviceUse())
    parts = ((0, N_FRAMES), (0, 1000), (1000, 2000))
    whole, *of_parts = access.run(languages_of(sound, parts))
    handle.remove()
    assert len(encoded) == 1
    _, expected = detect_language(batch.model, sound)
    assert whole == pytest.approx(expected, abs=1e-5)
    assert of_parts[0] != whole
    assert of_parts[0] != of_parts[1]


def test_the_last_user_leaves_when_the_thread_has_ended(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    device, removed = DeviceThread(), threading.Event()
    threads: list[threading.Thread] = []

    def remove_slowly(_session: Session) -> None:
        threads.append(threading.current_thread())
        removed.wait(0.2)
        removed.set()

    monkeypatch.setattr(batch, "remove", remove_slowly)
    with device.session(batch, DeviceUse()):
        pass
    assert removed.is_set()
    assert not threads[0].is_alive()
    assert device.between_steps(threading.current_thread) is not threads[0]


def test_an_error_of_a_call_is_raised_in_its_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        DeviceThread().between_steps(lambda: 1 // 0)


def test_requests_after_the_device_broke_fail(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    device = DeviceThread()

    def broken(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    access = ModelAccess(device, batch, DeviceUse())
    monkeypatch.setattr(batch.slots, "put_window", broken)
    with pytest.raises(DeviceBroken):
        access.run(languages_of(SOUNDS[0]))
    monkeypatch.undo()
    with pytest.raises(DeviceBroken):
        access.run(languages_of(SOUNDS[0]))


def test_an_interrupted_session_frees_its_slot(batch: Batch) -> None:
    device = DeviceThread()

    def ends() -> None:
        with device.session(batch, DeviceUse()) as respond:
            respond(Detect(Window(0, N_FRAMES, SOUNDS[0]), WHOLE))
            raise KeyError

    with pytest.raises(KeyError):
        ends()
    assert device.between_steps(lambda: batch.busy) == 0
