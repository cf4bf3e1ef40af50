"""The speech engine: keeps models loaded on one device and transcribes recordings of any length."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numba
import torch
from whisper.model import Whisper
from whisper.timing import backtrace, dtw_cpu

from transcription_dagster.audio.decode import claimed_seconds
from transcription_dagster.errors import EngineMissing, InvalidSetting
from transcription_dagster.model import (
    FASTER_WHISPER,
    OPENAI_WHISPER,
    DoubtfulSpeech,
    Gap,
    RemovedSpeech,
    SpeechEngineName,
    SpeechOptions,
    Transcript,
)
from transcription_dagster.transcripts.word_languages import main_language
from transcription_dagster.whisper.batching.alignment import compile_kernels
from transcription_dagster.whisper.batching.batch import Batch
from transcription_dagster.whisper.batching.device import Device, Result
from transcription_dagster.whisper.batching.device_errors import device_errors
from transcription_dagster.whisper.batching.device_use import DeviceUse
from transcription_dagster.whisper.batching.model_access import ModelAccess
from transcription_dagster.whisper.batching.slot_memory import slots_on
from transcription_dagster.whisper.blocks import Block, blocks_of, read_ahead
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages, language_choice
from transcription_dagster.whisper.models.checkpoints import open_model
from transcription_dagster.whisper.passes import Passes, PassOptions
from transcription_dagster.whisper.repair.edges import with_settled_edges
from transcription_dagster.whisper.repair.evidence import audible_parts
from transcription_dagster.whisper.repair.hallucinations import without_hallucinations
from transcription_dagster.whisper.repair.lost import with_lost_speech
from transcription_dagster.whisper.sound import Sound
from transcription_dagster.whisper.spans import Span
from transcription_dagster.whisper.speech_model import SpeechModel
from transcription_dagster.whisper.utterances import Utterance, numbered, shifted, tail_of_text
from transcription_dagster.whisper.voice_activity import analyse

if TYPE_CHECKING:
    from transcription_dagster.whisper.faster_whisper import FasterModel

#: Longest stretch in seconds that Whisper processes at once; its spectrogram and Fourier transform need about a
#: gigabyte.
BLOCK_SECONDS = 1200.0

#: Whisper's default temperatures, for second passes over text that failed at a single one.
_LADDER = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
#: A second pass that only checks the first one does not sample.
_GREEDY = (0.0,)

#: Whisper does not use text sampled above this temperature as a prompt.
_TRUSTED_TEMPERATURE = 0.5

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
        self.device = _checked(device)
        self.models_folder = models_folder
        #: Number of models that this process has loaded.
        self.loads = 0
        self._block_seconds = block_seconds
        self._slots, self._beams, self._threads = slots, beams, threads
        self._batches: dict[str, Batch] = {}
        self._faster: dict[str, FasterModel] = {}
        self._loading = threading.Lock()
        self._device = Device(torch.device(self.device))
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
        """Transcribe a recording; every window `on_progress` gets the share done, 0 to 1.

        `should_stop` is called at every step of the decoder, in the device's thread.

        May be called in several threads at once: the recordings share the device, and `device_limit` limits the seconds
        that the device works on this one.

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
        passes = Passes(model, options, seconds=audio.seconds, on_progress=on_progress)
        languages = language_choice(options, multilingual=model.vocabulary.multilingual)
        text = _TimedText()
        seconds = 0.0
        latest: str | None = None
        for block in read_ahead(audio.blocks()):
            use.check()
            spoken = SpokenLanguages(_sound(block).speech, languages, before=latest)
            options_of_pass = PassOptions(spoken, _prompt(options, text.utterances))
            text.append(_transcribe_block(passes, block, options_of_pass, options), offset=block.offset)
            latest = spoken.latest
            seconds = block.offset + block.seconds
            passes.progressed(seconds)
        on_progress(1.0)
        words, segments = numbered(text.utterances)
        return Transcript(
            recording=recording,
            words=words,
            segments=segments,
            language=main_language(words, languages[0] if len(languages) == 1 else UNDETERMINED),
            duration=seconds,
            model=options.model,
            options=MappingProxyType(passes.options_used()),
            removed=tuple(text.removed),
            doubtful=tuple(text.doubtful),
            gaps=tuple(text.gaps),
        )

    def _access(self, options: SpeechOptions, use: DeviceUse) -> SpeechModel:
        if options.engine == FASTER_WHISPER:
            return self._faster[options.model].access(use)
        return ModelAccess(self._device, self._batches[options.model], use)


@dataclass(slots=True)
class _TimedText:
    """The text of a block or a recording, with the findings about it; times are from its start."""

    utterances: list[Utterance] = field(default_factory=list[Utterance])
    removed: Sequence[RemovedSpeech] = ()
    doubtful: Sequence[DoubtfulSpeech] = ()
    gaps: Sequence[Gap] = ()

    def append(self, block: _TimedText, *, offset: float) -> None:
        """Append a block that starts `offset` seconds after this start."""
        self.utterances += [utterance.shifted(offset) for utterance in block.utterances]
        self.removed = [*self.removed, *(shifted(item, offset) for item in block.removed)]
        self.doubtful = [*self.doubtful, *(shifted(item, offset) for item in block.doubtful)]
        self.gaps = [*self.gaps, *(shifted(item, offset) for item in block.gaps)]


def _transcribe_block(passes: Passes, block: Block, options_of_pass: PassOptions, options: SpeechOptions) -> _TimedText:
    """Transcribe a block, judge the result, and transcribe doubtful or missing parts again."""
    if not options.remove_invented_speech:
        return _TimedText(passes.transcribe(block, None, options_of_pass))
    sound = _sound(block)
    audible = audible_parts(sound)
    if not audible:
        return _TimedText()

    def transcribe_again(clips: Sequence[Span], persistently: bool = False) -> list[Utterance]:
        ladder = options.temperatures if len(options.temperatures) > 1 else _LADDER
        again = PassOptions(options_of_pass.languages, afresh=True, temperatures=ladder if persistently else _GREEDY)
        return passes.transcribe(block, clips, again)

    utterances = passes.transcribe(block, None if audible == (Span(0.0, sound.seconds),) else audible, options_of_pass)
    judged = without_hallucinations(utterances, sound, transcribe_again)
    complete, gaps = with_lost_speech(judged.kept, sound, transcribe_again, judged.removed)
    return _TimedText(with_settled_edges(complete, sound), judged.removed, judged.doubtful, gaps)


def _sound(block: Block) -> Sound:
    return analyse(block.samples) if block.sound is None else block.sound


def _prompt(options: SpeechOptions, before: list[Utterance]) -> str | None:
    """Return the prompt of a block: the initial prompt for the first one, the preceding text for later ones."""
    if not before or not options.condition_on_previous_text or before[-1].temperature > _TRUSTED_TEMPERATURE:
        return options.initial_prompt
    return tail_of_text(before)


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


def _checked(device: str) -> str:
    kind, _, index = device.partition(":")
    if device == "cpu":
        return device
    if kind != "cuda" or (index and not index.isdecimal()):
        raise InvalidSetting(f"{device!r} is not a device: cpu, cuda or cuda:N")
    present = torch.cuda.device_count()
    if int(index or 0) >= present:
        raise InvalidSetting(f"there is no GPU {index or 0}: this machine has {present or 'none'}")
    return f"cuda:{index or 0}"
