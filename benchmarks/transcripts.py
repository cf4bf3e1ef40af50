"""Transcripts by `model.transcribe` and by this program, for the benchmarks that compare words.

Transcripts can be kept in a file, one line of JSON per recording and way: an interrupted benchmark continues with it,
and one benchmark reuses the transcripts of another. The file does not record the version of the program: begin a new
one after a change.
"""

from __future__ import annotations

import json
import time
import wave
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from whisper.model import Whisper

from benchmarks.sounds import RATE
from transcription_dagster.model import SpeechOptions, Word
from transcription_dagster.settings import load_settings
from transcription_dagster.whisper.engine import SpeechEngine
from transcription_dagster.whisper.models.checkpoints import open_model

#: Ways to transcribe: plain `model.transcribe`, the same with its own remedy against hallucinations, and this program.
PLAIN, REMEDIED, PROGRAM = "model.transcribe", "hallucination_silence_threshold", "this program"

#: Seconds of silence around a doubtful segment that make Whisper's own remedy skip it.
_THRESHOLD_SECONDS = 2.0


@dataclass(frozen=True)
class Recording:
    """A normalised recording; `reference` is its text, empty if there is no speech or the text is not known."""

    name: str
    language: str
    reference: str
    flac: Path
    samples: np.ndarray

    @property
    def hours(self) -> float:
        return self.samples.size / RATE / 3600


@dataclass(frozen=True)
class TimedTranscript:
    """The words of one way to transcribe a recording, and the CPU time that it takes (s)."""

    words: Sequence[Word]
    seconds: float
    #: Whether the program removes, doubts or misses nothing, so that no second pass changes anything.
    untouched: bool = True


class Transcriber:
    """Transcribes recordings with one model in several ways, each with the same options and one thread.

    `kept` is a file with earlier transcripts, to which new ones are added; None: keep nothing.
    """

    def __init__(self, model: str, kept: Path | None = None) -> None:
        self._model_name, self._kept = model, kept
        self._before = _read(kept)

    def transcribe(self, recording: Recording, way: str, language: str | None = None) -> TimedTranscript:
        """Return the transcript of a recording; without a language, it is detected."""
        key = (self._model_name, language or "", way, recording.name)
        if key not in self._before:
            transcribe = self._program if way == PROGRAM else self._plain
            self._before[key] = transcribe(recording, way, language)
            self._keep(key)
        return self._before[key]

    def _program(self, recording: Recording, _: str, language: str | None) -> TimedTranscript:
        engine = self._engine
        started = time.process_time()
        found = engine.transcribe(
            engine.prepare(recording.flac),
            SpeechOptions(model=self._model_name, language=language),
            recording="",
            on_progress=lambda _: None,
            should_stop=lambda: False,
        )
        untouched = not (found.removed or found.doubtful or found.gaps)
        return TimedTranscript(found.words, time.process_time() - started, untouched)

    def _plain(self, recording: Recording, way: str, language: str | None) -> TimedTranscript:
        model = self._model
        torch.manual_seed(0)
        started = time.process_time()
        found: dict[str, Any] = model.transcribe(
            recording.samples,
            language=language,
            fp16=False,
            word_timestamps=True,
            verbose=None,
            hallucination_silence_threshold=_THRESHOLD_SECONDS if way == REMEDIED else None,
        )
        seconds = time.process_time() - started
        words = [word for segment in found["segments"] for word in segment["words"] if word["word"].strip()]
        return TimedTranscript([_word(word) for word in words], seconds)

    @cached_property
    def _engine(self) -> SpeechEngine:
        engine = SpeechEngine(threads=1, models_folder=load_settings().models_folder)
        engine.load(self._model_name)
        return engine

    @cached_property
    def _model(self) -> Whisper:
        torch.set_num_threads(1)
        return open_model(self._model_name, load_settings().models_folder, "cpu")

    def _keep(self, key: _Key) -> None:
        if self._kept is not None:
            with self._kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, asdict(self._before[key])], ensure_ascii=False) + "\n")


#: Model, language or nothing, way to transcribe, name of the recording.
_Key = tuple[str, ...]


def _read(kept: Path | None) -> dict[_Key, TimedTranscript]:
    if kept is None or not kept.exists():
        return {}
    found = {}
    for line in kept.read_text(encoding="utf-8").splitlines():
        key, found = json.loads(line)
        found[tuple(key)] = TimedTranscript(**found | {"words": [Word(**word) for word in found["words"]]})
    return found


def _word(word: dict[str, Any]) -> Word:
    text = word["word"]
    return Word(text.strip(), word["start"], word["end"], word["probability"], not text[0].isspace())


def write_wav(path: Path, samples: np.ndarray) -> None:
    """Write float32 samples, 16 kHz mono, as 16-bit WAV."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
