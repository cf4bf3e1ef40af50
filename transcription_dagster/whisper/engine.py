"""The speech engine: keeps models loaded on one device and transcribes recordings of any length."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numba
import torch
from whisper.model import Whisper
from whisper.timing import backtrace, dtw_cpu

from transcription_dagster.audio.flac import claimed_seconds
from transcription_dagster.errors import EngineMissing
from transcription_dagster.model import (
    FASTER_WHISPER,
    OPENAI_WHISPER,
    SpeechEngineName,
    SpeechOptions,
    Transcript,
)
from transcription_dagster.transcripts.word_languages import main_language
from transcription_dagster.whisper.batching.alignment import compile_kernels
from transcription_dagster.whisper.batching.batch import Batch
from transcription_dagster.whisper.batching.device_thread import DeviceThread, ModelAccess
from transcription_dagster.whisper.blocks import Block, blocks_of, read_ahead
from transcription_dagster.whisper.decoding.requests import Result, SpeechModel
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages, candidate_languages
from transcription_dagster.whisper.devices import DeviceUse, checked_device, device_errors, slots_on
from transcription_dagster.whisper.models.checkpoints import open_model
from transcription_dagster.whisper.passes import Passes, TimedText
from transcription_dagster.whisper.utterances import words_and_segments

if TYPE_CHECKING:
    from transcription_dagster.whisper.faster_whisper import FasterModel

#: Longest stretch in seconds that Whisper processes at once; its spectrogram and Fourier transform need about a
#: gigabyte.
BLOCK_SECONDS = 1200.0

#: ISO 639-2's code for an undetermined language.
UNDETERMINED = "und"


@dataclass(frozen=True, slots=True)
class PreparedAudio:
    """A recording whose first block is already decoded, so that the GPU need not wait. Can be used once."""

    #: Length in seconds according to the file's header, for the share done.
    seconds: float
    first: Block | None
    rest: Iterator[Block]

    def blocks(self) -> Iterator[Block]:
        return chain([] if self.first is None else [self.first], self.rest)


@dataclass(frozen=True, slots=True)
class Usage:
    """The utilization of a device."""

    slots: int
    #: Slots that hold a window.
    busy: int
    #: Windows encoded so far.
    windows: int
    #: Seconds that the device has worked so far.
    worked_seconds: float


class SpeechEngine:
    """Whisper on one device. Models stay loaded, and any number of threads may each transcribe a recording.

    `device` is `cpu`, `cuda` or `cuda:N`; `threads` limits the threads used on the CPU. At most `slots` windows are
    decoded together, fewer if memory is short, with room for `beams` beams in each from the start. Recordings longer
    than `block_seconds` are transcribed in blocks. Raises `InvalidSetting` if the device does not exist.
    """

    def __init__(
        self,
        device: str = "cpu",
        *,
        threads: int | None = None,
        slots: int = 1,
        beams: int = 1,
        models_folder: Path,
        block_seconds: float = BLOCK_SECONDS,
    ) -> None:
        self.device = checked_device(device)
        self.models_folder = models_folder
        #: Number of models that this process has loaded.
        self.loads = 0
        self._block_seconds = block_seconds
        self._slots, self._beams, self._threads = slots, beams, threads
        self._batches: dict[str, Batch] = {}
        self._faster: dict[str, FasterModel] = {}
        self._loading = threading.Lock()
        self._device = DeviceThread(torch.device(self.device))
        if threads is not None:
            torch.set_num_threads(threads)

    def load(self, model: str, engine: SpeechEngineName = OPENAI_WHISPER) -> None:
        """Load a model by name or path, unless it is loaded.

        Raises `UnknownModel`, `ModelUnavailable`, `OutOfMemory`, `DeviceBroken`, `EngineMissing`, and `InvalidSetting`
        if the engine cannot use the device.
        """
        with self._loading, device_errors():
            if model in (self._faster if engine == FASTER_WHISPER else self._batches):
                return
            if engine == FASTER_WHISPER:
                self._faster[model] = _open_faster(model, self.models_folder, self.device, self._threads)
            else:
                self._batches[model] = self._open_batch(model)
            self.loads += 1

    def _open_batch(self, model: str) -> Batch:
        _keep_compiled(self.models_folder / "compiled")
        self._device.between_steps(lambda: compile_kernels(torch.device(self.device)))
        opened = open_model(model, self.models_folder, self.device)
        slots = slots_on(opened.device, opened.dims, wanted=self._slots, beams=self._beams)
        return Batch(opened, slots, beams=self._beams, fixed=opened.device.type == "cuda")

    @property
    def slots(self) -> int:
        """Return how many windows are decoded together; before a model is loaded, the requested number."""
        counts = [batch.slots.count for batch in self._batches.values()] + [1] * len(self._faster)
        return min(counts, default=self._slots)

    def usage(self) -> Usage:
        """Return the device's work so far and its slots in use."""
        batches, others = list(self._batches.values()), list(self._faster.values())
        return Usage(
            slots=self.slots,
            busy=sum(model.busy for model in [*batches, *others]),
            windows=sum(model.windows for model in [*batches, *others]),
            worked_seconds=self._device.worked + sum(model.worked for model in others),
        )

    def between_steps(self, function: Callable[[], Result]) -> Result:
        """Call a function in the device's thread, between two steps of the decoder."""
        return self._device.between_steps(function)

    def model(self, name: str) -> Whisper:
        """Return a model loaded in openai-whisper."""
        return self._batches[name].model

    def prepare(self, path: Path, channel: int | None = None) -> PreparedAudio:
        """Decode the first block of a recording. May run in another thread than `transcribe`.

        `channel` is a channel's number from 0; None mixes all channels. Raises `SourceNotFound` or `UnusableAudio`.
        """
        blocks = blocks_of(path, self._block_seconds, channel)
        return PreparedAudio(claimed_seconds(path) or 0.0, next(blocks, None), blocks)

    def transcribe(
        self,
        audio: PreparedAudio,
        options: SpeechOptions,
        *,
        recording: str,
        on_progress: Callable[[float], None],
        should_stop: Callable[[], bool],
        device_limit: float | None = None,
    ) -> Transcript:
        """Transcribe a recording; `on_progress` gets the share done, 0 to 1, at every window.

        `should_stop` is called at every step of the decoder, in the device's thread. Several threads may transcribe at
        once: the recordings share the device, and `device_limit` limits the seconds that it works on this one.

        Without a language in the options, the language is detected, and again where it changes. With openai-whisper,
        without `remove_invented_speech`, and for a recording of one block in one language, words, times and
        probabilities equal those of `model.transcribe` with the same options and random numbers seeded with 0. With
        that option, words without evidence against them stay the same, and word times exclude pauses. Raises
        `TranscriptionAborted`, `TimeLimitExceeded`, `OutOfMemory`, `DeviceBroken`, `InvalidSetting` for a language that
        the model does not know, and the errors of `load`.
        """
        self.load(options.model, options.engine)
        use = DeviceUse(device_limit, should_stop)
        model = self._access(options, use)
        candidates = candidate_languages(options, multilingual=model.vocabulary.multilingual)
        passes = Passes(model, options, seconds=audio.seconds, on_progress=on_progress)
        text, seconds = TimedText(), 0.0
        language: str | None = None
        for block in read_ahead(audio.blocks()):
            use.check()
            languages = SpokenLanguages(block.sound.speech, candidates, before=language)
            text.append(passes.transcribe_block(block, languages, before=text.utterances), offset=block.offset)
            language = languages.latest
            seconds = block.offset + block.seconds
            passes.progressed(seconds)
        on_progress(1.0)
        transcript = _transcript(text, recording, candidates[0] if len(candidates) == 1 else UNDETERMINED)
        used = MappingProxyType(passes.options_used())
        return replace(transcript, duration=seconds, model=options.model, options=used)

    def _access(self, options: SpeechOptions, use: DeviceUse) -> SpeechModel:
        if options.engine == FASTER_WHISPER:
            return self._faster[options.model].access(use)
        return ModelAccess(self._device, self._batches[options.model], use)


def _transcript(text: TimedText, recording: str, language: str) -> Transcript:
    """Return the text of a recording as a transcript; it is in `language` if it has no words."""
    words, segments = words_and_segments(text.utterances)
    return Transcript(
        recording=recording,
        words=words,
        segments=segments,
        language=main_language(words, language),
        removed=tuple(text.removed),
        doubtful=tuple(text.doubtful),
        gaps=tuple(text.gaps),
    )


def _open_faster(model: str, folder: Path, device: str, threads: int | None) -> FasterModel:
    try:
        from transcription_dagster.whisper.faster_whisper import open_faster_whisper
    except ModuleNotFoundError as error:
        if error.name != "ctranslate2":
            raise
        raise EngineMissing(
            f"the engine {FASTER_WHISPER} needs pip install 'transcription-dagster[{FASTER_WHISPER}]'"
        ) from error
    return open_faster_whisper(model, folder, device, threads=threads)


def _keep_compiled(folder: Path) -> None:
    """Let numba cache Whisper's compiled kernels in `folder`, unless it already has a cache folder."""
    numba.config.CACHE_DIR = numba.config.CACHE_DIR or str(folder)  # type: ignore[attr-defined]
    for kernel in (dtw_cpu, backtrace):
        kernel.enable_caching()
