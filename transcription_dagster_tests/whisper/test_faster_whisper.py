"""The second engine: Whisper on CTranslate2."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import whisper
from whisper.audio import N_FRAMES, N_SAMPLES, log_mel_spectrogram
from whisper.model import Whisper

from transcription_dagster.errors import (
    EngineMissing,
    TimeLimitExceeded,
    TranscriptionAborted,
    UnknownModel,
    WorkerUnfit,
)
from transcription_dagster.model import SpeechOptions, Transcript
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.whisper.batching.batch import Batch
from transcription_dagster.whisper.batching.device_thread import DeviceThread, ModelAccess
from transcription_dagster.whisper.decoding.loop import LoopOptions, transcription
from transcription_dagster.whisper.decoding.requests import Detect, Window
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages
from transcription_dagster.whisper.devices import DeviceUse
from transcription_dagster.whisper.engine import SpeechEngine, Usage
from transcription_dagster.whisper.faster_whisper import FasterAccess, open_faster_whisper
from transcription_dagster.whisper.models.checkpoints import open_model
from transcription_dagster_tests.whisper.conftest import BULLETIN
from transcription_dagster_tests.whisper.layouts import small_model, write_ctranslate2

pytestmark = pytest.mark.slow

OPTIONS = LoopOptions(
    languages=SpokenLanguages.fixed("en"),
    temperatures=(0.0,),
    beam_size=None,
    condition_on_previous_text=True,
    initial_prompt="Carter, Brooks",
)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> FasterAccess:
    """Provide the toy model in CTranslate2, in single precision."""
    folder = tmp_path_factory.mktemp("models")
    return open_faster_whisper(BULLETIN, folder, "cpu", threads=1, compute_type="float32").access(DeviceUse())


def openai_whisper(model: Whisper) -> ModelAccess:
    return ModelAccess(DeviceThread(), Batch(model, slots=1), DeviceUse())


def transcribe(loaded: SpeechEngine, flac: Path, **options: object) -> Transcript:
    chosen = {"model": BULLETIN, "engine": "faster-whisper", "temperatures": (0.0,), **options}
    return loaded.transcribe(
        loaded.prepare(flac),
        SpeechOptions(**chosen),  # type: ignore[arg-type]
        recording="",
        on_progress=lambda _: None,
        should_stop=lambda: False,
    )


@pytest.mark.parametrize("beams", [None, 2])
@pytest.mark.parametrize("name", ["wav", "m4a"])
def test_in_single_precision_segments_words_and_times_are_those_of_openai_whisper(exact, recordings, name, beams):
    spectrogram = log_mel_spectrogram(recordings[name].samples, exact.mels, padding=N_SAMPLES)
    chosen = replace(OPTIONS, beam_size=beams)
    reference = openai_whisper(whisper.load_model(BULLETIN, "cpu"))
    assert exact.vocabulary == reference.vocabulary
    ours, theirs = (model.run(transcription(spectrogram, model.vocabulary, chosen)) for model in (exact, reference))
    assert [segment.tokens for segment in ours] == [segment.tokens for segment in theirs]
    words, expected = ([word for segment in segments for word in segment.words] for segments in (ours, theirs))
    assert words
    assert [(word.text, word.start, word.end) for word in words] == [
        (word.text, word.start, word.end) for word in expected
    ]
    assert [word.probability for word in words] == pytest.approx([word.probability for word in expected], abs=1e-3)
    for segment, reference_segment in zip(ours, theirs, strict=True):
        assert segment.decoded.compression_ratio == reference_segment.decoded.compression_ratio
        assert (segment.decoded.average_log_probability, segment.decoded.no_speech_probability) == pytest.approx(
            (reference_segment.decoded.average_log_probability, reference_segment.decoded.no_speech_probability),
            abs=1e-3,
        )


def languages(mel: torch.Tensor):
    """Request the languages of a window, and of two parts of it."""
    return (yield Detect(Window(0, N_FRAMES, mel), ((0, N_FRAMES), (0, 301), (200, 600))))


@pytest.mark.parametrize("quantized", [False, True])
def test_a_ctranslate2_folder_is_used_without_conversion(tmp_path, recordings, quantized):
    folder = write_ctranslate2(small_model(), tmp_path / "small", quantized=quantized)
    (folder / "config.json").write_text("{}")
    mel = log_mel_spectrogram(recordings["wav"].samples, 80, padding=N_SAMPLES)[:, :N_FRAMES]
    model = open_faster_whisper(str(folder), tmp_path / "models", "cpu", threads=1, compute_type="float32")
    reference = openai_whisper(open_model(str(folder), tmp_path, "cpu"))
    detected = [access.run(languages(mel)) for access in (model.access(DeviceUse()), reference)]
    for ours, theirs in zip(*detected, strict=True):
        assert max(ours, key=ours.__getitem__) == max(theirs, key=theirs.__getitem__)
        assert ours == pytest.approx(theirs, abs=0.02)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.bin"]
    assert list((tmp_path / "models").iterdir()) == []


def test_an_invalid_model_is_refused_as_by_the_other_engine(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"not a model")
    with pytest.raises(UnknownModel, match="not a Whisper checkpoint"):
        open_faster_whisper(str(tmp_path), tmp_path / "models", "cpu")


# --- in the engine


def test_a_transcript_records_its_engine(engine, recordings):
    recording = recordings["wav"]
    transcript = transcribe(engine, recording.flac, beam_size=2)
    assert join_words(transcript.words) == recording.text
    assert transcript.model == BULLETIN
    assert transcript.options == {
        "temperature": (0.0,),
        "beam_size": 2,
        "condition_on_previous_text": True,
        "initial_prompt": None,
        "word_timestamps": True,
        "engine": "faster-whisper",
        "compute_type": "int8_float32",
        "language": None,
        "languages": (),
        "remove_invented_speech": True,
    }


def test_word_times_leave_out_the_silence_before_the_first_word(engine, recordings):
    # The recording begins with silence, over which the alignment stretches its first word.
    first = transcribe(engine, recordings["late"].flac).words[0]
    settled = transcribe(engine, recordings["late"].flac, remove_invented_speech=False).words[0]
    assert first.text == settled.text
    assert first.start > settled.start


def test_an_executor_reports_the_second_engines_work(tmp_path, recordings):
    single = SpeechEngine(threads=1, slots=4, models_folder=tmp_path)
    single.load(BULLETIN, "faster-whisper")
    assert (single.slots, single.usage()) == (1, Usage(slots=1, busy=0, windows=0, worked_seconds=0.0))
    transcribe(single, recordings["wav"].flac, language="en")
    assert single.usage().windows == 1
    assert single.usage().worked_seconds > 0


def test_the_second_engine_respects_the_time_limit(engine, recordings):
    with pytest.raises(TimeLimitExceeded):
        engine.transcribe(
            engine.prepare(recordings["m4a"].flac),
            SpeechOptions(BULLETIN, engine="faster-whisper"),
            recording="",
            on_progress=lambda _: None,
            should_stop=lambda: False,
            device_limit=0.0,
        )


def test_both_engines_can_load_the_same_model(engine, recordings):
    loads = engine.loads
    before = transcribe(engine, recordings["wav"].flac, engine="openai-whisper")
    transcribe(engine, recordings["wav"].flac)
    after = transcribe(engine, recordings["wav"].flac, engine="openai-whisper")
    assert before == after
    assert after.options["engine"] == "openai-whisper"
    assert engine.loads <= loads + 1


def test_the_second_engine_stops_at_the_next_request(engine, recordings):
    progress: list[float] = []
    with pytest.raises(TranscriptionAborted):
        engine.transcribe(
            engine.prepare(recordings["m4a"].flac),
            SpeechOptions(BULLETIN, engine="faster-whisper"),
            recording="",
            on_progress=progress.append,
            should_stop=lambda: len(progress) > 0,
        )
    assert progress == [0.0]


def test_without_the_extra_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.delitem(sys.modules, "transcription_dagster.whisper.faster_whisper", raising=False)
    monkeypatch.delitem(sys.modules, "transcription_dagster.whisper.models.ctranslate2_writer", raising=False)
    with pytest.raises(EngineMissing, match=r"pip install 'transcription-dagster\[faster-whisper\]'"):
        SpeechEngine(models_folder=tmp_path).load(BULLETIN, "faster-whisper")


def test_a_machine_without_the_cuda_of_ctranslate2_is_unfit(exact):
    def fail(_request: object) -> None:
        raise RuntimeError("Library libcublas.so.12 is not found or cannot be loaded")

    with pytest.raises(WorkerUnfit, match=r"libcublas\.so\.12"):
        exact.run(languages(torch.zeros(80, N_FRAMES)), fail)
