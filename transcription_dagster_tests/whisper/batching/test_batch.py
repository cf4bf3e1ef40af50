"""Many recordings on one device: each gets the result it gets alone, and failures do not affect others."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from whisper.model import Whisper

from transcription_dagster.errors import DeviceBroken, OutOfMemory, TimeLimitExceeded, TranscriptionAborted
from transcription_dagster.whisper.batching.batch import Batch, Session
from transcription_dagster.whisper.batching.decoder_slots import DecoderSlots, DecoderWeights
from transcription_dagster.whisper.decoding import loop as decoding_loop
from transcription_dagster.whisper.decoding.loop import LoopOptions
from transcription_dagster.whisper.decoding.requests import Decode, Window
from transcription_dagster.whisper.devices import DeviceUse
from transcription_dagster.whisper.spans import Span
from transcription_dagster_tests.corpus import RATE
from transcription_dagster_tests.whisper.batches import loop_of, run_together
from transcription_dagster_tests.whisper.conftest import BULLETIN
from transcription_dagster_tests.whisper.decoding.test_loop import assert_equal, options, whispers

pytestmark = pytest.mark.slow

#: Decoding options of each recording.
CHOSEN: Mapping[str, LoopOptions] = {
    "wav": options(),
    "late": options(beam_size=3),
    "ogg": options(condition_on_previous_text=False),
    "webm": options(initial_prompt="Walker, Carter, Brooks", temperatures=(0.0, 0.6)),
    "flac": options(temperatures=(0.7,)),
    "m4a": options(beam_size=2, temperatures=(0.0,)),
}


#: Recordings beside one that fails: greedy, with beams, and sampled.
NEIGHBOURS = ("wav", "late", "flac")


@pytest.fixture(scope="module")
def model() -> Whisper:
    return whisper.load_model(BULLETIN, "cpu")


@pytest.fixture(scope="module")
def samples(recordings) -> dict[str, np.ndarray]:
    return {name: recordings[name].samples[: (33 if name == "ogg" else 11) * RATE] for name in CHOSEN}


@pytest.fixture(scope="module")
def expected(samples) -> dict[str, list[dict[str, Any]]]:
    """Return the result of `model.transcribe` for each recording."""
    plain = whisper.load_model(BULLETIN, "cpu")
    return {name: whispers(plain, samples[name], chosen) for name, chosen in CHOSEN.items()}


def loops(model: Whisper, samples: Mapping[str, np.ndarray], names: Iterable[str] = CHOSEN) -> dict[str, Any]:
    return {name: loop_of(model, samples[name], CHOSEN[name]) for name in names}


@pytest.fixture(scope="module")
def alone(model, samples) -> tuple[Batch, dict[str, Any]]:
    """Return a batch of one slot, and what it gave all recordings one after another."""
    batch = Batch(model, 1)
    return batch, run_together(batch, loops(model, samples), order=random.Random(1))


@pytest.mark.parametrize(("slots", "fixed", "seed"), [(4, False, 2), (3, True, 4)])
def test_each_recording_gets_the_result_of_transcribe(model, samples, expected, slots, fixed, seed):
    batch = Batch(model, slots, fixed=fixed)
    results = run_together(batch, loops(model, samples), order=random.Random(seed))
    for name in CHOSEN:
        assert_equal(results[name], expected[name])
    assert batch.busy == 0
    assert batch.rows > batch.steps


def test_in_one_slot_each_recording_gets_the_result_of_transcribe(alone, expected):
    batch, results = alone
    for name in CHOSEN:
        assert_equal(results[name], expected[name])
    assert batch.busy == 0


def test_the_windows_of_several_recordings_share_the_steps(model, samples, alone, expected):
    one_slot, _ = alone
    shared = Batch(model, 8)
    results = run_together(shared, loops(model, samples))
    assert shared.windows == one_slot.windows
    assert shared.steps < one_slot.steps / 2
    for name in CHOSEN:
        assert_equal(results[name], expected[name])


# `test_fixed_slots.py` compares the bits of single windows.
@pytest.mark.exhaustive
def test_alone_or_in_fixed_shapes_results_are_the_same_to_the_last_bit():
    """MKL rounds a product by where its matrices lie in memory, unless it is told not to before its first product."""
    command = [sys.executable, "-m", "transcription_dagster_tests.whisper.batching.bit_identity"]
    environment = {**os.environ, "MKL_CBWR": "COMPATIBLE"}
    completed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment)
    assert completed.returncode == 0, completed.stderr[-3000:]


def test_a_window_is_encoded_once_for_all_its_temperatures_and_its_words(model, samples, monkeypatch):
    # No text is likely enough, so every window tries all temperatures.
    monkeypatch.setattr(decoding_loop, "MIN_LOG_PROBABILITY", 1.0)
    batch = Batch(model, 1)
    chosen = options(temperatures=(0.0, 0.2, 0.4), clips=[Span(0.0, 6.0)])
    results = run_together(batch, {"wav": loop_of(model, samples["wav"], chosen)})
    assert {segment.decoded.temperature for segment in results["wav"]} == {0.4}
    assert batch.windows == len({segment.window for segment in results["wav"]})


# `test_each_recording_gets_the_result_of_transcribe` does the same with a small model.
@pytest.mark.exhaustive
def test_base_gives_several_recordings_the_words_of_each_alone(base_engine, voices):
    model = base_engine.model("base")
    chosen = {
        "A bag left on the ferry": options(),
        "A quiet memo": options(beam_size=2, initial_prompt="A memo."),
    }
    samples = {name: voices[name].samples[: 6 * RATE] for name in chosen}
    results = run_together(Batch(model, 2), {name: loop_of(model, samples[name], chosen[name]) for name in chosen})
    for name in chosen:
        assert any(segment.words for segment in results[name])
        assert_equal(results[name], whispers(model, samples[name], chosen[name]))


@pytest.mark.requires_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
def test_a_gpu_in_single_precision_equals_transcribe(samples, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    model = whisper.load_model(BULLETIN, "cuda")
    # Random numbers depend on the device.
    chosen = {name: replace(settings, temperatures=(0.0,)) for name, settings in CHOSEN.items()}
    batch = Batch(model, 4, fixed=True)
    results = run_together(batch, {name: loop_of(model, samples[name], chosen[name]) for name in chosen})
    for name in chosen:
        assert_equal(results[name], whispers(model, samples[name], chosen[name]))


# --- one that fails


def poisoned(error: Exception, after: int):
    """A recording whose own code fails at its third request."""

    def loop(inner):
        result = None
        for _ in range(after):
            result = yield inner.send(result)
        raise error

    return loop


def test_an_error_in_one_recording_ends_it_alone(model, samples, expected):
    batch = Batch(model, 3)
    computations = loops(model, samples, NEIGHBOURS)
    computations["bad"] = poisoned(KeyError("its own mistake"), after=2)(loop_of(model, samples["ogg"], options()))
    results = run_together(batch, computations, order=random.Random(3))
    assert isinstance(results.pop("bad"), KeyError)
    for name in NEIGHBOURS:
        assert_equal(results[name], expected[name])
    assert batch.busy == 0


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_nan_audio_does_not_affect_other_recordings(model, samples, expected, temperature):
    batch = Batch(model, 3)
    silence = np.full(2 * RATE, np.nan, np.float32)
    computations = {
        "bad": loop_of(model, silence, options(temperatures=(temperature,))),
        **loops(model, samples, NEIGHBOURS),
    }
    results = run_together(batch, computations)
    for name in NEIGHBOURS:
        assert_equal(results[name], expected[name])
    assert batch.busy == 0


def test_a_window_that_cannot_be_encoded_ends_only_its_recording(model, samples, expected):
    """Its spectrogram has too few bands."""
    batch = Batch(model, 4)
    narrow = Window(0, 3000, torch.zeros((40, 3000)))

    def bad():
        yield Decode(narrow, batch.vocabulary.tokenizer("en"), (), 0.0, None)

    results = run_together(batch, {"bad": bad(), **loops(model, samples, NEIGHBOURS)})
    assert isinstance(results["bad"], RuntimeError)
    for name in NEIGHBOURS:
        assert_equal(results[name], expected[name])
    assert batch.busy == 0


@pytest.mark.parametrize("stop_after", [1, 5, 30])
def test_a_stopped_recording_leaves_at_the_same_step(model, samples, expected, stop_after):
    batch = Batch(model, 2)
    times: list[int] = []

    def should_stop() -> bool:
        times.append(batch.steps)
        return len(times) >= stop_after

    computations = {"bad": loop_of(model, samples["ogg"], options()), **loops(model, samples, NEIGHBOURS)}
    results = run_together(batch, computations, uses={"bad": DeviceUse(should_stop=should_stop)})
    assert isinstance(results["bad"], TranscriptionAborted)
    # Called at each step, and not again once it returned true.
    assert len(times) == stop_after
    assert times[-1] <= stop_after
    for name in NEIGHBOURS:
        assert_equal(results[name], expected[name])
    assert batch.busy == 0


def test_a_stopped_recording_does_not_wait_for_a_slot(model, samples):
    batch = Batch(model, 1)
    computations = {"wav": loop_of(model, samples["wav"], options()), "bad": loop_of(model, samples["ogg"], options())}
    waited: list[bool] = []

    def watch(sessions: Mapping[str, Session]) -> None:
        waited.append("bad" in sessions)

    results = run_together(
        batch, computations, uses={"bad": DeviceUse(should_stop=lambda: batch.steps >= 3)}, at_each_step=watch
    )
    assert isinstance(results["bad"], TranscriptionAborted)
    assert waited.count(True) <= 5
    assert results["wav"]


def test_an_abandoned_recording_frees_its_slot_mid_window(model, samples, expected):
    batch = Batch(model, 2)
    given_up: list[int] = []

    def give_up(sessions: Mapping[str, Session]) -> None:
        session = sessions.get("bad")
        if session is not None and session.decoding is not None and batch.steps > 20 and not given_up:
            batch.remove(session)
            given_up.append(batch.busy)
            session.answer.set_exception(RuntimeError("given up"))

    computations = {"bad": loop_of(model, samples["ogg"], options()), **loops(model, samples, NEIGHBOURS)}
    results = run_together(batch, computations, at_each_step=give_up)
    assert given_up
    assert isinstance(results["bad"], RuntimeError)
    for name in NEIGHBOURS:
        assert_equal(results[name], expected[name])


def test_the_time_limit_counts_only_work_on_the_recording(model, samples):
    batch = Batch(model, 3)
    computations = loops(model, samples, (*NEIGHBOURS, "ogg"))
    results = run_together(batch, computations, uses={"ogg": DeviceUse(0.001), "wav": DeviceUse(1000.0)})
    assert isinstance(results["ogg"], TimeLimitExceeded)
    assert [name for name in computations if isinstance(results[name], Exception)] == ["ogg"]


# --- the device that fails


class Failing:
    """A device that fails at some of its calls."""

    def __init__(self, function, error: Exception, calls: range) -> None:
        self._function, self._error, self._calls, self.count = function, error, calls, 0

    def __call__(self, *arguments):
        self.count += 1
        if self.count in self._calls:
            raise self._error
        return self._function(*arguments)


OUT_OF_MEMORY = torch.cuda.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("part", ["put_window", "read", "step", "align"])
def test_out_of_memory_halves_the_slots_and_loses_nothing(model, samples, expected, part, monkeypatch):
    batch = Batch(model, 4)
    failing = Failing(getattr(batch.slots, part), OUT_OF_MEMORY, range(3, 4))
    monkeypatch.setattr(batch.slots, part, failing)
    results = run_together(batch, loops(model, samples, NEIGHBOURS))
    assert failing.count == 3
    assert batch.slots.count == 2
    for name in NEIGHBOURS:
        assert_equal(results[name], expected[name])
    assert batch.busy == 0


def test_out_of_memory_with_one_slot_fails_the_recording_in_it(model, samples, expected, monkeypatch):
    batch = Batch(model, 1)
    monkeypatch.setattr(batch.slots, "step", Failing(batch.slots.step, OUT_OF_MEMORY, range(5, 6)))
    results = run_together(batch, loops(model, samples, NEIGHBOURS))
    assert isinstance(results.pop("wav"), OutOfMemory)
    for name, segments in results.items():
        assert_equal(segments, expected[name])


def test_slots_are_halved_until_they_fit(model, samples, expected, monkeypatch):
    batch = Batch(model, 8)
    opened = DecoderSlots.__init__
    sizes: list[int] = []

    def opens(slots: DecoderSlots, weights: DecoderWeights, count: int, *arguments: object, **keywords: int) -> None:
        sizes.append(count)
        if count > 2:
            raise OUT_OF_MEMORY
        opened(slots, weights, count, *arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(DecoderSlots, "__init__", opens)
    monkeypatch.setattr(batch.slots, "read", Failing(batch.slots.read, OUT_OF_MEMORY, range(1, 2)))
    results = run_together(batch, {"wav": loop_of(model, samples["wav"], CHOSEN["wav"])})
    assert sizes == [4, 2]
    assert_equal(results["wav"], expected["wav"])


def test_a_broken_device_ends_all_recordings(model, samples, monkeypatch):
    batch = Batch(model, 2)
    broken = RuntimeError("CUDA error: device-side assert triggered")
    monkeypatch.setattr(batch.slots, "step", Failing(batch.slots.step, broken, range(5, 6)))
    with pytest.raises(DeviceBroken):
        run_together(batch, loops(model, samples, NEIGHBOURS))
