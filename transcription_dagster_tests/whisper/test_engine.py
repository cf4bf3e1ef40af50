"""The engine with a real checkpoint: Whisper's own words, blocks, progress, stopping, and refused input."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import numba
import numpy as np
import pytest
import torch
import whisper
from numba.core import config
from whisper import timing

from transcription_dagster.errors import InvalidSetting, TranscriptionAborted, UnknownModel, UnusableAudio
from transcription_dagster.whisper import engine as engine_module
from transcription_dagster.whisper.engine import SpeechEngine
from transcription_dagster_tests import corpus
from transcription_dagster_tests.whisper.conftest import BULLETIN
from transcription_dagster_tests.whisper.helpers import are_laid_on_speech, text_of, transcribe, word_errors

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain_model():
    return whisper.load_model(BULLETIN, "cpu")


@pytest.fixture(scope="module")
def shares():
    """The progress reported while a demo recording was transcribed."""
    return defaultdict(list)


@pytest.fixture(scope="module")
def repaired_transcript(engine, recordings, shares):
    """Transcribe each demo recording once with default options."""
    return cache(lambda name: transcribe(engine, recordings[name].flac, on_progress=shares[name].append))


@pytest.fixture(scope="module")
def plain_transcript(engine, recordings):
    """Transcribe a demo recording without repairs."""
    return cache(lambda name, **options: transcribe(engine, recordings[name].flac, **NO_REPAIR, **options))


NO_REPAIR = {"remove_invented_speech": False}
BEAMS = {"beam_size": 3, "temperatures": (0.0,), "initial_prompt": "Walker, Carter, Brooks"}
SAMPLED = {"condition_on_previous_text": False, "temperatures": (0.4, 0.8)}


@pytest.mark.parametrize(
    ("name", "options"),
    [("ogg", {}), ("late", BEAMS), ("webm", SAMPLED)],
    ids=["several windows", "beams", "sampled"],
)
def test_without_repair_words_and_times_equal_whispers(plain_model, recordings, plain_transcript, name, options):
    recording = recordings[name]
    transcript = plain_transcript(name, **options)
    parameters = dict(options)
    if "temperatures" in parameters:
        parameters["temperature"] = parameters.pop("temperatures")
    torch.manual_seed(0)
    plain = plain_model.transcribe(recording.samples, word_timestamps=True, fp16=False, **parameters)
    expected = [
        (word["word"].strip(), word["start"], word["end"]) for segment in plain["segments"] for word in segment["words"]
    ]
    assert [(word.text, word.start, word.end) for word in transcript.words] == expected
    # Whisper encodes the audio again for the word times, with different rounding.
    probabilities = [word["probability"] for segment in plain["segments"] for word in segment["words"]]
    assert [word.confidence for word in transcript.words] == pytest.approx(probabilities, abs=1e-4)
    assert [(segment.start, segment.end) for segment in transcript.segments] == [
        (segment["start"], segment["end"]) for segment in plain["segments"] if segment["words"]
    ]
    assert text_of(transcript) == plain["text"].strip()


@pytest.mark.parametrize("name", ["wav", "late", "webm"])
def test_repair_keeps_the_words_of_a_clean_recording_and_snaps_their_times(repaired_transcript, plain_transcript, name):
    repaired, plain = repaired_transcript(name), plain_transcript(name)
    assert (repaired.removed, repaired.doubtful, repaired.gaps) == ((), (), ())
    assert [(word.text, word.confidence) for word in repaired.words] == [
        (word.text, word.confidence) for word in plain.words
    ]
    assert are_laid_on_speech(repaired.words, [(word.start, word.end) for word in plain.words])


def test_the_same_recording_gives_the_same_words_again(engine, recordings):
    first, second = (transcribe(engine, recordings["webm"].flac, temperatures=(0.8,)) for _ in range(2))
    assert first == second


def test_segments_refer_to_all_words_in_order(repaired_transcript):
    transcript = repaired_transcript("ogg")
    places = [place for segment in transcript.segments for place in range(segment.first, segment.stop)]
    assert places == list(range(len(transcript.words)))
    for segment in transcript.segments:
        assert segment.start <= transcript.words[segment.first].start
        assert segment.end >= transcript.words[segment.stop - 1].end


def test_the_transcript_records_model_and_options(engine, recordings):
    transcript = transcribe(engine, recordings["wav"].flac, beam_size=2, initial_prompt="Carter", language="English")
    assert transcript.recording == "some recording"
    assert transcript.model == BULLETIN
    assert transcript.language == "en"
    assert transcript.duration == pytest.approx(recordings["wav"].samples.size / corpus.RATE)
    assert transcript.options == {
        "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
        "beam_size": 2,
        "condition_on_previous_text": True,
        "initial_prompt": "Carter",
        "word_timestamps": True,
        "engine": "openai-whisper",
        "fp16": False,
        "language": "English",
        "languages": (),
        "remove_invented_speech": True,
    }


# --- long recordings


def test_a_long_recording_is_transcribed_in_blocks_with_absolute_times(engine, recordings):
    recording = recordings["m4a"]
    small = SpeechEngine(threads=1, models_folder=engine.models_folder, block_seconds=25)
    shares: list[float] = []
    transcript = transcribe(small, recording.flac, condition_on_previous_text=False, on_progress=shares.append)
    whole = transcribe(engine, recording.flac, condition_on_previous_text=False)
    assert word_errors(text_of(whole), text_of(transcript)) <= 3
    for word, expected in zip(transcript.words, whole.words, strict=False):
        assert word.start == pytest.approx(expected.start, abs=1.2)
    assert transcript.duration == pytest.approx(whole.duration)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len({share for share in shares if 0 < share < 1}) >= 2


def test_every_later_block_is_prompted_with_the_preceding_text(engine, recordings):
    small = SpeechEngine(threads=1, models_folder=engine.models_folder, block_seconds=25)
    path = recordings["flac"].flac
    primed, unprimed = (transcribe(small, path, condition_on_previous_text=choice) for choice in (True, False))
    assert primed.segments[0] == unprimed.segments[0]
    assert text_of(primed) == text_of(unprimed)
    assert primed.segments[-1].average_log_probability != unprimed.segments[-1].average_log_probability


# --- progress and stopping


def test_progress_is_reported_at_every_window_and_ends_at_one(repaired_transcript, shares):
    repaired_transcript("ogg")
    reported = shares["ogg"]
    assert reported[0] == 0
    assert reported == sorted(reported)
    assert reported[-1] == 1
    assert len({share for share in reported if 0 < share < 1}) >= 2


@pytest.mark.parametrize("windows", [0, 1, 2])
def test_a_transcription_stops_in_the_window_where_it_is_asked_to(engine, recordings, windows):
    progress: list[float] = []
    with pytest.raises(TranscriptionAborted):
        transcribe(
            engine, recordings["ogg"].flac, on_progress=progress.append, should_stop=lambda: len(progress) >= windows
        )
    assert len(progress) == windows


def test_a_transcription_stops_in_the_middle_of_a_window(engine, recordings):
    """The model decodes at most a few more tokens."""
    checks = 0

    def should_stop() -> bool:
        nonlocal checks
        checks += 1
        return checks >= 10

    progress: list[float] = []
    with pytest.raises(TranscriptionAborted):
        transcribe(engine, recordings["ogg"].flac, on_progress=progress.append, should_stop=should_stop)
    assert checks == 10
    assert progress == [0.0]


def test_an_abort_leaves_the_model_unchanged(engine, recordings):
    before = transcribe(engine, recordings["wav"].flac)
    hooks = count_hooks(engine)
    with pytest.raises(TranscriptionAborted):
        transcribe(engine, recordings["wav"].flac, should_stop=lambda: True)
    assert count_hooks(engine) == hooks
    assert transcribe(engine, recordings["wav"].flac) == before


def count_hooks(engine: SpeechEngine) -> int:
    model = engine.model(BULLETIN)
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


# --- models and devices


def test_a_model_is_loaded_once(engine, recordings):
    engine.load(BULLETIN)
    loads = engine.loads
    for _ in range(3):
        engine.load(BULLETIN)
        transcribe(engine, recordings["wav"].flac)
    assert engine.loads == loads


def test_compiled_code_for_word_times_is_cached(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", "")
    hits = []
    for _ in range(2):
        # A new process has kernels that are not compiled.
        for kernel in (timing.backtrace, timing.dtw_cpu):
            new = numba.jit(**kernel.targetoptions)(kernel.py_func)
            for module in (timing, engine_module):
                monkeypatch.setattr(module, kernel.py_func.__name__, new)
        SpeechEngine(threads=1, models_folder=tmp_path).load(BULLETIN)
        hits.append(timing.dtw_cpu.stats.cache_hits.total())
    assert hits == [0, 1]


def test_an_unknown_model_is_refused_with_the_existing_names(engine, recordings):
    with pytest.raises(UnknownModel, match=r"'enormous'.*medium.*turbo"):
        transcribe(engine, recordings["wav"].flac, model="enormous")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", "", "mps", "cuda:99"])
def test_a_missing_device_is_refused_at_once(device, tmp_path):
    with pytest.raises(InvalidSetting, match=r"not a device|no GPU"):
        SpeechEngine(device, models_folder=tmp_path)


@pytest.mark.parametrize(("language", "message"), [("xx", "not a language"), ("de", "English only")])
def test_a_language_that_the_model_does_not_know_is_refused(engine, recordings, language, message):
    with pytest.raises(InvalidSetting, match=message):
        transcribe(engine, recordings["wav"].flac, language=language)


# --- odd recordings


@pytest.mark.parametrize("make", [corpus.one_sample, corpus.silent], ids=["one sample", "silence"])
@pytest.mark.parametrize("cautious", [True, False])
def test_a_recording_without_a_word_gives_an_empty_transcript(engine, tmp_path, make, cautious):
    transcript = transcribe(engine, make(tmp_path), remove_invented_speech=cautious)
    assert (transcript.words, transcript.segments, transcript.removed) == ((), (), ())
    assert transcript.language == "en"


@pytest.mark.parametrize("seconds", [0.02, 0.33, 1.0, 30.0, 30.01])
def test_any_length_is_transcribed(engine, recordings, tmp_path, seconds):
    samples = np.resize(recordings["flac"].samples, round(seconds * corpus.RATE))
    transcript = transcribe(engine, corpus.write_wav(tmp_path / "a.wav", samples))
    assert transcript.duration == pytest.approx(seconds, abs=0.001)
    assert all(0 <= word.start <= word.end <= seconds + 0.02 for word in transcript.words)


def test_a_file_without_audio_is_refused_when_prepared(engine, tmp_path):
    with pytest.raises(UnusableAudio):
        engine.prepare(corpus.text_file(tmp_path))
