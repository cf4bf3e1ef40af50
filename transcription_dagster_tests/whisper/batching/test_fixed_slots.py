"""Slots of fixed shapes: the same bits regardless of what shares the device, and the same words as Whisper's."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from whisper.model import Whisper

from transcription_dagster.whisper.batching.decoder_slots import DecoderSlots, DecoderWeights, Text, TextRow
from transcription_dagster.whisper.batching.fixed_slots import FixedSlots, Recorded
from transcription_dagster.whisper.batching.token_rules import TokenRules
from transcription_dagster.whisper.decoding.requests import Vocabulary
from transcription_dagster.whisper.devices import slot_bytes
from transcription_dagster_tests.whisper.layouts import small_model

PROMPT = [50258, 50259, 50359]


@pytest.fixture(scope="module")
def small() -> Whisper:
    return small_model()


@pytest.fixture(scope="module")
def sounds() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn((1500, 8), generator=generator) for _ in range(4)]


def rules_of(model: Whisper) -> TokenRules:
    return TokenRules(Vocabulary(True, 99).tokenizer("en"), model.dims, model.device)


def filled(slots: DecoderSlots, sounds: Sequence[torch.Tensor], order: Sequence[int]) -> DecoderSlots:
    """Return slots that hold the audio of `order` and have read the prompt."""
    for slot, sound in enumerate(order):
        slots.put_window(slot, sounds[sound])
        slots.read([Text(slot, PROMPT)])
    return slots


def logits_of(slots: DecoderSlots, slot: int, companions: Sequence[int], steps: int = 5) -> torch.Tensor:
    """Return the logits of one slot in some steps beside others."""
    state = slots.rules.start
    logits = []
    for number in range(steps):
        rows = [
            TextRow(used_slot, 0, 400 + number, len(PROMPT) + number, state)
            for used_slot in sorted([slot, *companions])
        ]
        step = slots.step(rows)
        place = step.places[[row.slot for row in rows].index(slot)]
        logits.append(step.ruled.logits[place].clone())
    return torch.stack(logits)


@torch.inference_mode()
def test_a_windows_result_is_independent_of_others_to_the_last_bit(small: Whisper, sounds: list[torch.Tensor]) -> None:
    rules = rules_of(small)
    alone = logits_of(filled(FixedSlots(DecoderWeights(small), 4, rules), sounds, [0]), 0, [])
    first = logits_of(filled(FixedSlots(DecoderWeights(small), 4, rules), sounds, [0, 1, 2]), 0, [1, 2])
    last = logits_of(filled(FixedSlots(DecoderWeights(small), 4, rules), sounds, [3, 1, 2, 0]), 3, [0, 2])
    assert alone.equal(first)
    assert alone.equal(last)


@torch.inference_mode()
def test_both_kinds_of_slots_agree_up_to_rounding(small: Whisper, sounds: list[torch.Tensor]) -> None:
    rules = rules_of(small)
    exact, fixed = (
        logits_of(filled(kind(DecoderWeights(small), 3, rules), sounds, [0, 1]), 1, [0])
        for kind in (DecoderSlots, FixedSlots)
    )
    allowed = exact.isfinite()
    assert allowed.equal(fixed.isfinite())
    assert torch.allclose(exact[allowed], fixed[allowed], atol=1e-3)


@torch.inference_mode()
def test_a_slot_with_nan_is_clean_for_the_next_window(small: Whisper, sounds: list[torch.Tensor]) -> None:
    rules = rules_of(small)
    clean = logits_of(filled(FixedSlots(DecoderWeights(small), 2, rules), sounds, [0]), 0, [])
    slots = FixedSlots(DecoderWeights(small), 2, rules)
    slots.put_window(0, torch.full((1500, 8), torch.nan))
    slots.read([Text(0, PROMPT * 4)])
    logits_of(slots, 0, [])
    assert logits_of(filled(slots, sounds, [0]), 0, []).equal(clean)


@pytest.mark.parametrize("kind", [DecoderSlots, FixedSlots])
def test_the_memory_of_slots_matches_the_formula(small: Whisper, kind: type[DecoderSlots]) -> None:
    slots = kind(DecoderWeights(small), 3, rules_of(small), beams=2)
    assert slots.bytes == 3 * slot_bytes(small.dims, beams=2, item=4)


def held_bytes() -> int:
    """Return the bytes of all tensors in the process."""
    gc.collect()
    tensors = [
        candidate
        for candidate in gc.get_objects()
        if issubclass(type(candidate), torch.Tensor) and not candidate.is_sparse
    ]
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", [DecoderSlots, FixedSlots])
@torch.inference_mode()
def test_a_thousand_steps_need_no_additional_memory(small: Whisper, sounds: list[torch.Tensor], kind) -> None:
    slots = filled(kind(DecoderWeights(small), 2, rules_of(small)), sounds, [0, 1])
    caches = [slots._keys, slots._values, slots._audio_keys, slots._audio_values]
    before, size = [cache.data_ptr() for cache in caches], slots.bytes
    sizes: list[int] = []
    for _ in range(5):
        logits_of(slots, 0, [1], steps=200)
        sizes.append(held_bytes())
    assert len(set(sizes)) == 1
    assert slots.bytes == size
    assert [cache.data_ptr() for cache in caches] == before


@pytest.mark.requires_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
@torch.inference_mode()
def test_a_captured_step_equals_an_uncaptured_one(sounds: list[torch.Tensor]) -> None:
    model = small_model().to("cuda")
    rules = rules_of(model)
    on_gpu = [sound.to("cuda") for sound in sounds]
    recorded = filled(FixedSlots(DecoderWeights(model), 3, rules), on_gpu, [0, 1])
    plain = filled(DecoderSlots(DecoderWeights(model), 3, rules), on_gpu, [0, 1])
    actual, expected = logits_of(recorded, 1, [0]), logits_of(plain, 1, [0])
    assert actual.isfinite().equal(expected.isfinite())
    assert torch.allclose(actual.nan_to_num(), expected.nan_to_num(), atol=1e-2)


@pytest.mark.requires_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
@torch.inference_mode()
def test_a_thousand_captured_steps_allocate_nothing_on_a_gpu(sounds: list[torch.Tensor]) -> None:
    model = small_model().to("cuda")
    slots = filled(
        FixedSlots(DecoderWeights(model), 2, rules_of(model)), [sound.to("cuda") for sound in sounds], [0, 1]
    )

    def step(number: int) -> None:
        slots.step([TextRow(slot, 0, 400, len(PROMPT) + number % 400, slots.rules.start) for slot in (0, 1)])

    # The first step is captured.
    step(0)
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    for number in range(1000):
        step(number)
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


# --- the work of a step, captured as a CUDA graph: on a fake of CUDA, and on a GPU if there is one

#: The parameters of torch's real function.
GRAPH = inspect.signature(torch.cuda.graph.__init__)


class Cuda:
    """Records the calls that it receives."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        for name in ("CUDAGraph", "graph", "Stream", "current_stream", "stream"):
            patch.setattr(torch.cuda, name, getattr(self, f"make_{name}"))

    def make_CUDAGraph(self) -> Graph:
        return Graph(self)

    def make_Stream(self) -> Stream:
        return Stream("side", self)

    def make_current_stream(self) -> Stream:
        return Stream("current", self)

    @contextmanager
    def make_stream(self, stream: Stream) -> Iterator[None]:
        self.calls.append(f"on {stream.name}")
        yield
        self.calls.append(f"off {stream.name}")

    @contextmanager
    def make_graph(self, graph: Graph, *, stream: Stream, **options: str) -> Iterator[None]:
        GRAPH.bind(None, graph, stream=stream, **options)
        assert options["capture_error_mode"] == "thread_local"
        self.calls.append(f"record on {stream.name}")
        yield
        self.calls.append("recorded")


class Stream:
    def __init__(self, name: str, cuda: Cuda) -> None:
        self.name = name
        self._cuda = cuda

    def wait_stream(self, stream: Stream) -> None:
        self._cuda.calls.append(f"{self.name} waits for {stream.name}")


class Graph:
    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda

    def replay(self) -> None:
        self._cuda.calls.append("replay")


def test_work_is_warmed_up_captured_once_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch)
    recorded = Recorded[list[int]]()
    results = [recorded.run(lambda: cuda.calls.append("work") or [7]) for _ in range(3)]
    assert cuda.calls == [
        "side waits for current",
        "on side",
        *["work"] * 3,
        "off side",
        "current waits for side",
        "record on side",
        "work",
        "recorded",
        *["replay"] * 3,
    ]
    assert results[0] is results[1] is results[2]


def test_a_failed_capture_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch)
    recorded = Recorded[None]()

    def fail() -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        recorded.run(fail)
    assert "replay" not in cuda.calls
    recorded.run(lambda: None)
    assert cuda.calls[-3:] == ["record on side", "recorded", "replay"]


@pytest.mark.requires_cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
def test_every_replay_computes_again_on_a_gpu() -> None:
    tensor = torch.zeros(4, device="cuda")
    recorded = Recorded[torch.Tensor]()
    for number in range(3):
        tensor.fill_(number)
        assert recorded.run(lambda: tensor * 2).tolist() == [2.0 * number] * 4
