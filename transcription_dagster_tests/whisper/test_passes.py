"""A pass over a block: its clips, and a failing device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import whisper

from transcription_dagster.errors import DeviceBroken, OutOfMemory
from transcription_dagster.model import SpeechOptions
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.whisper.batching.batch import Batch
from transcription_dagster.whisper.batching.device_thread import DeviceThread, ModelAccess
from transcription_dagster.whisper.blocks import Block
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages
from transcription_dagster.whisper.devices import DeviceUse
from transcription_dagster.whisper.passes import Passes, PassOptions
from transcription_dagster.whisper.spans import Span
from transcription_dagster.whisper.voice_activity import analyse
from transcription_dagster_tests.whisper.conftest import BULLETIN

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model():
    return whisper.load_model(BULLETIN, "cpu")


@pytest.fixture
def block(recordings) -> Block:
    samples = recordings["wav"].samples
    return Block(0.0, samples, analyse(samples))


def passes_over(model, **options: object) -> Passes:
    return Passes(
        ModelAccess(DeviceThread(), Batch(model, slots=2), DeviceUse()),
        SpeechOptions(**{"model": BULLETIN, "temperatures": (0.0,), **options}),  # type: ignore[arg-type]
        seconds=6.8,
        on_progress=lambda _: None,
    )


def text(utterances) -> str:
    return " ".join(join_words(utterance.words) for utterance in utterances)


@contextmanager
def failing(module, error: Exception, times: int) -> Iterator[list[int]]:
    """Make a part of the model fail this many times, as a device does."""
    calls = [0]

    def hook(*_: object) -> None:
        calls[0] += 1
        if calls[0] <= times:
            raise error

    handle = module.register_forward_hook(hook)
    try:
        yield calls
    finally:
        handle.remove()


def test_running_out_of_memory_twice_is_a_clear_failure(model, block):
    with failing(model.encoder, torch.cuda.OutOfMemoryError("CUDA out of memory."), times=99) as calls:
        with pytest.raises(OutOfMemory):
            passes_over(model).transcribe(block, None, PassOptions(SpokenLanguages.fixed("en")))
        assert calls == [2]


def test_a_broken_device_is_not_retried(model, block):
    error = RuntimeError("CUDA error: device-side assert triggered")
    with failing(model.encoder, error, times=99) as calls:
        with pytest.raises(DeviceBroken):
            passes_over(model).transcribe(block, None, PassOptions(SpokenLanguages.fixed("en")))
        assert calls == [1]


def test_a_programming_error_is_not_reported_as_a_device_error(model, block):
    with (
        failing(model.encoder, RuntimeError("shapes do not match"), times=1),
        pytest.raises(RuntimeError, match="shapes do not match"),
    ):
        passes_over(model).transcribe(block, None, PassOptions(SpokenLanguages.fixed("en")))


def test_a_second_pass_stays_within_its_clips(model, block):
    utterances = passes_over(model).transcribe(
        block, [Span(2.6, 4.7)], PassOptions(SpokenLanguages.fixed("en"), afresh=True)
    )
    assert text(utterances) == "This is the end of the report."
    assert all(2.5 <= word.start <= word.end <= 4.8 for utterance in utterances for word in utterance.words)
