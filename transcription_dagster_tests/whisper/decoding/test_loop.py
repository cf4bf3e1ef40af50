"""The decoding loop compared with the installed `model.transcribe`, and its intended deviations."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from whisper.audio import N_SAMPLES, log_mel_spectrogram
from whisper.model import ModelDimensions, Whisper

from transcription_dagster.whisper.batching.batch import Batch
from transcription_dagster.whisper.batching.device_thread import DeviceThread, ModelAccess
from transcription_dagster.whisper.decoding.loop import LoopOptions, transcription
from transcription_dagster.whisper.decoding.requests import (
    Align,
    AlignedWord,
    Decode,
    Decoded,
    Detect,
    Vocabulary,
    run_requests,
)
from transcription_dagster.whisper.decoding.segments import DecodedSegment
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages
from transcription_dagster.whisper.devices import DeviceUse
from transcription_dagster.whisper.spans import Span
from transcription_dagster_tests.corpus import RATE
from transcription_dagster_tests.whisper.conftest import BULLETIN

LADDER = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def options(**changes: object) -> LoopOptions:
    return LoopOptions(
        **{  # type: ignore[arg-type]
            "languages": SpokenLanguages.fixed("en"),
            "temperatures": LADDER,
            "beam_size": None,
            "condition_on_previous_text": True,
            "initial_prompt": None,
        }
        | changes
    )


def ours(model: Whisper, samples: np.ndarray, chosen: LoopOptions) -> list[DecodedSegment]:
    access = ModelAccess(DeviceThread(), Batch(model, slots=1), DeviceUse())
    spectrogram = log_mel_spectrogram(samples, model.dims.n_mels, padding=N_SAMPLES)
    return access.run(transcription(spectrogram, access.vocabulary, chosen))


def whispers(model: Whisper, samples: np.ndarray, chosen: LoopOptions) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    return model.transcribe(  # type: ignore[return-value]
        samples,
        language=chosen.languages.before,
        temperature=chosen.temperatures,
        beam_size=chosen.beam_size,
        condition_on_previous_text=chosen.condition_on_previous_text,
        initial_prompt=chosen.initial_prompt,
        clip_timestamps="0"
        if chosen.clips is None
        else [time for clip in chosen.clips for time in (clip.start, clip.end)],
        word_timestamps=True,
        fp16=False,
    )["segments"]


def assert_equal(actual: Sequence[DecodedSegment], expected: Sequence[dict[str, Any]]) -> None:
    """Compare all fields of the segments of `model.transcribe`; probabilities may differ in their last digits."""
    assert [(segment.window, segment.start, segment.end, segment.text, list(segment.tokens)) for segment in actual] == [
        tuple(segment[name] for name in ("seek", "start", "end", "text", "tokens")) for segment in expected
    ]
    assert [(segment.decoded.temperature, segment.decoded.compression_ratio) for segment in actual] == [
        (segment["temperature"], segment["compression_ratio"]) for segment in expected
    ]
    assert [(word.text, word.start, word.end) for segment in actual for word in segment.words] == [
        (word["word"], word["start"], word["end"]) for segment in expected for word in segment["words"]
    ]
    for segment, reference in zip(actual, expected, strict=True):
        assert segment.decoded.average_log_probability == pytest.approx(reference["avg_logprob"], abs=1e-4)
        assert segment.decoded.no_speech_probability == pytest.approx(reference["no_speech_prob"], abs=1e-5)
        probabilities = [word["probability"] for word in reference["words"]]
        assert [word.probability for word in segment.words] == pytest.approx(probabilities, abs=1e-4)


# --- a trained model


@pytest.fixture(scope="module")
def bulletin() -> Whisper:
    return whisper.load_model(BULLETIN, "cpu")


CASES = {
    "greedy": ("ogg", options()),
    "late": ("late", options()),
    "noisy": ("webm", options()),
    "beams": ("late", options(beam_size=3)),
    "prompt": ("wav", options(initial_prompt=" Walker, Carter, Brooks ")),
    "a long prompt": ("wav", options(initial_prompt="This is the end of the report. " * 60)),
    "without the text before": ("ogg", options(condition_on_previous_text=False)),
    "clips": ("ogg", options(clips=[Span(1.5, 4.0), Span(3.0, 9.25), Span(20.0, 26.5)])),
    "sampled": ("late", options(temperatures=(0.7,))),
}


@pytest.mark.slow
# Of the prompts, the short one is the sample.
@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=pytest.mark.exhaustive if name == "a long prompt" else ()) for name in CASES]
)
def test_segments_and_words_equal_those_of_transcribe(bulletin, recordings, case):
    name, chosen = CASES[case]
    samples = recordings[name].samples[: 36 * RATE]
    expected = whispers(bulletin, samples, chosen)
    assert any(segment["words"] for segment in expected)
    assert_equal(ours(bulletin, samples, chosen), expected)


# --- models of random weights, which fall back to every temperature and never end a text


def random_model(layers: int, width: int, heads: int, vocabulary: int) -> Whisper:
    torch.manual_seed(width)
    model = Whisper(
        ModelDimensions(
            n_mels=80,
            n_audio_ctx=1500,
            n_audio_state=width,
            n_audio_head=heads,
            n_audio_layer=1,
            n_vocab=vocabulary,
            n_text_ctx=96,
            n_text_state=width,
            n_text_head=heads,
            n_text_layer=layers,
        )
    )
    torch.nn.init.normal_(model.decoder.positional_embedding)
    return model.eval()


SHAPES = {"English": (1, 32, 2, 51864), "multilingual": (2, 48, 3, 51865), "with Cantonese": (3, 64, 4, 51866)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "chosen"),
    [
        ("English", options(temperatures=(0.0, 0.4))),
        # The others are samples.
        pytest.param(
            "multilingual",
            options(temperatures=(0.0, 0.6), clips=[Span(0.5, 2.0), Span(1.0, 4.0)]),
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(
            "with Cantonese",
            options(languages=SpokenLanguages.fixed("yue"), temperatures=(0.0, 1.0), initial_prompt="早晨"),
            marks=pytest.mark.exhaustive,
        ),
        ("with Cantonese", options(languages=SpokenLanguages.fixed("de"), temperatures=(0.0,), beam_size=2)),
    ],
)
def test_random_weights_give_the_same_segments(recordings, shape, chosen):
    model = random_model(*SHAPES[shape])
    samples = recordings["webm"].samples[: 31 * RATE]
    expected = whispers(model, samples, chosen)
    assert_equal(ours(model, samples, chosen), expected)
    assert {segment["temperature"] for segment in expected} == {chosen.temperatures[-1]}


# --- a scripted model

FRAMES = torch.zeros(80, 500 + 3000)
ENGLISH = Vocabulary(multilingual=False, languages=99)
TOKENIZER = ENGLISH.tokenizer("en")
FIRST = TOKENIZER.timestamp_begin


def scripted(chosen: LoopOptions, *texts: Sequence[int | str]) -> tuple[list[DecodedSegment], list[Decode]]:
    """Run the loop over 5 s of audio with a model that decodes these texts in turn, and then repeats the last one."""
    requests: list[Decode] = []

    def answer(request: Decode | Align | Detect) -> object:
        if isinstance(request, Decode):
            requests.append(request)
            assert len(requests) < 50, "decoding does not end"
            parts = texts[min(len(requests), len(texts)) - 1]
            tokens = [
                t for part in parts for t in (TOKENIZER.encode(part) if isinstance(part, str) else [FIRST + part])
            ]
            return Decoded(tuple(tokens), -0.1, 0.0, 1.0, request.temperature)
        assert isinstance(request, Align)
        end = 0.0 if request.tokens == tuple(TOKENIZER.encode(" one")) else 0.5
        return [AlignedWord(TOKENIZER.decode([token]), (token,), 0.0, end, 1.0) for token in request.tokens]

    return run_requests(transcription(FRAMES, ENGLISH, chosen), answer), requests


def test_a_window_without_progress_is_skipped_after_three_rounds():
    segments, requests = scripted(options(), [0, " one", 0, 0], [0, " one", 0, 0], [0, " one", 0, 0], [0, " two", 50])
    assert [request.window.start for request in requests] == [0, 0, 0, 100]
    assert [segment.text for segment in segments if segment.text] == [" two"]
    assert requests[-1].prompt == ()


def test_decoding_without_progress_at_the_end_terminates():
    segments, requests = scripted(options(), [0, " one", 0, 0])
    assert [request.window.start for request in requests] == [start for start in range(0, 500, 100) for _ in range(3)]
    assert segments == []


def test_a_clip_ends_with_the_audio():
    _, requests = scripted(options(clips=[Span(4.0, 99.0), Span(200.0, 300.0)]), [0, " one", 50])
    assert [(request.window.start, request.window.frames) for request in requests] == [(400, 100)]


# --- what it was compared with

#: The functions of openai-whisper that the loop and the decoder replace, with the beginning of their SHA-256. If one of
#: them changes, review the change before the new version is pinned.
FOLLOWED = {
    "transcribe.transcribe": "17a80c6abe976aa3",
    "timing.add_word_timestamps": "58646c650e7630f2",
    "timing.merge_punctuations": "5ff2943e7c233d94",
    "timing.find_alignment": "d91537323566c6ae",
    "timing.median_filter": "0c622f36e6cee761",
    "timing.dtw_cpu": "ca5322b1749d1ffc",
    "timing.backtrace": "dff5f098eec8b008",
    "decoding.detect_language": "201f5d7d8aa16b78",
    "decoding.DecodingTask": "b004f89054f3ee09",
    "decoding.GreedyDecoder": "39dcc03abf123099",
    "decoding.BeamSearchDecoder": "c59013ceb8e2e4b2",
    "decoding.MaximumLikelihoodRanker": "1f55d979b48ff7d5",
    "decoding.SuppressBlank": "e7f7852b593da1e9",
    "decoding.SuppressTokens": "a7ee805ef45d1122",
    "decoding.ApplyTimestampRules": "441a1f4c00ce4759",
    "decoding.PyTorchInference": "4a22c8f52dd1c763",
    "model.LayerNorm": "32ab0cd7e8e27729",
    "model.Linear": "67ee282f8dd9327b",
    "model.MultiHeadAttention": "92a00dc3415e16b9",
    "model.ResidualAttentionBlock": "402706790f1612e5",
    "model.TextDecoder": "c3e79678fc2b58ed",
    "audio.log_mel_spectrogram": "820d4a02064d0553",
    "audio.pad_or_trim": "e411f94e16ea5a46",
    "utils.get_end": "7e509342953e5741",
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_the_replaced_function_is_unchanged(name):
    module, member = name.split(".")
    function = getattr(importlib.import_module(f"whisper.{module}"), member)
    source = inspect.getsource(getattr(function, "py_func", function))
    assert hashlib.sha256(source.encode()).hexdigest().startswith(FOLLOWED[name])
