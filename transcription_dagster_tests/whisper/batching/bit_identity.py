"""Results that are the same to the last bit. `test_batch.py` runs it.

    MKL_CBWR=COMPATIBLE python -m transcription_dagster_tests.whisper.batching.bit_identity

Exits with the recordings that differ: in a word, a time or a probability.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
import whisper
from torch import Tensor
from whisper.model import Whisper, disable_sdpa

from transcription_dagster.audio.flac import read_blocks
from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.whisper.batching.batch import Batch
from transcription_dagster.whisper.decoding.loop import LoopOptions
from transcription_dagster.whisper.decoding.segments import DecodedSegment
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages
from transcription_dagster.whisper.spans import Span
from transcription_dagster_tests.system import CHECKPOINT, DEMO_RECORDINGS
from transcription_dagster_tests.whisper.batches import loop_of, run_together
from transcription_dagster_tests.whisper.decoding.test_loop import SHAPES, options, random_model, whispers

SECONDS = 6
SHARED = {
    "detected": options(languages=SpokenLanguages([Span(0.0, SECONDS)])),
    "beams": options(beam_size=3),
    "prompted": options(initial_prompt="Walker, Carter, Brooks"),
    "sampled": options(temperatures=(0.7,)),
}
ALONE = {
    "greedy": options(),
    "sampled after a long text": options(initial_prompt="This is the end of the report. " * 60, temperatures=(0.7,)),
}
RANDOM = options(temperatures=(0.0,), initial_prompt="Walker, Carter, Brooks", clips=[Span(0.0, 2.0)])


def main() -> None:
    torch.set_num_threads(1)
    model = whisper.load_model(str(CHECKPOINT), "cpu")
    flac = next(path for path in DEMO_RECORDINGS if path.suffix == ".flac")
    [samples, *_] = read_blocks(flac, SECONDS * len(SHARED))
    parts = np.split(samples, range(SECONDS * SAMPLE_RATE, samples.size, SECONDS * SAMPLE_RATE))
    different = ["log probabilities"] if log_probabilities_differ(model, parts[0]) else []
    with without_fused_attention(model):
        different += [name for name, chosen in ALONE.items() if differs_from_transcribe(model, parts[0], chosen)]
    for shape, dimensions in SHAPES.items():
        random_weights = random_model(*dimensions)
        with without_fused_attention(random_weights):
            if differs_from_transcribe(random_weights, parts[0], RANDOM):
                different.append(f"random weights, {shape}")
    different += differ_beside_others(model, dict(zip(SHARED, parts, strict=True)))
    sys.exit(f"not the same bits: {different}" if different else 0)


def differs_from_transcribe(model: Whisper, samples: np.ndarray, chosen: LoopOptions) -> bool:
    """Return whether a recording that is alone differs from `model.transcribe` in a token, a time or a probability."""
    expected = whispers(model, samples, chosen)
    if not any(segment["words"] for segment in expected):
        sys.exit("a recording has no words")
    actual = alone(model, samples, chosen)
    words = [(word.text, word.start, word.end, word.probability) for segment in actual for word in segment.words]
    return decoded(actual) != as_decoded(expected) or words != [
        tuple(word[field] for field in ("word", "start", "end", "probability"))
        for segment in expected
        for word in segment["words"]
    ]


def log_probabilities_differ(model: Whisper, samples: np.ndarray) -> bool:
    return decoded(alone(model, samples, options())) != as_decoded(whispers(model, samples, options()))


def decoded(segments: Sequence[DecodedSegment]) -> list[tuple[object, ...]]:
    return [
        (list(segment.tokens), segment.decoded.average_log_probability, segment.decoded.no_speech_probability)
        for segment in segments
    ]


def as_decoded(segments: Sequence[dict[str, Any]]) -> list[tuple[object, ...]]:
    return [tuple(segment[field] for field in ("tokens", "avg_logprob", "no_speech_prob")) for segment in segments]


def alone(model: Whisper, samples: np.ndarray, chosen: LoopOptions) -> list[DecodedSegment]:
    return run_together(Batch(model, 1), {"": loop_of(model, samples, chosen)})[""]


@contextmanager
def without_fused_attention(model: Whisper) -> Iterator[None]:
    """Encode as Whisper does to time words: it encodes each window again for that, with an attention in steps."""
    encode = model.encoder.forward

    def forward(mel: Tensor) -> Tensor:
        with disable_sdpa():
            return encode(mel)

    with mock.patch.object(model.encoder, "forward", forward):
        yield


def differ_beside_others(model: Whisper, parts: dict[str, np.ndarray]) -> list[str]:
    """Return the recordings that get other bits in fixed shapes beside others than alone."""

    def actual(names: Sequence[str], seed: int) -> dict[str, list[DecodedSegment]]:
        # A processor computes the rows that are left over from a multiple of eight in another way than the others.
        batch = Batch(model, 4, beams=4, fixed=True)
        loops = {name: loop_of(model, parts[name], SHARED[name]) for name in names}
        return run_together(batch, loops, order=random.Random(seed))

    single = {name: actual([name], 0)[name] for name in SHARED}
    if not all(any(segment.words for segment in segments) for segments in single.values()):
        sys.exit("a recording has no words")
    together = [actual([*SHARED], seed) for seed in range(2)]
    return [f"{name}: beside others" for name in SHARED if any(results[name] != single[name] for results in together)]


if __name__ == "__main__":
    main()
