"""The speech engine: models kept loaded on one device, and recordings of any length through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType

import numba
import torch
from whisper.model import Whisper
from whisper.timing import backtrace, dtw, dtw_cpu

from transcription_dagster.audio.decode import claimed_seconds
from transcription_dagster.errors import InvalidSetting
from transcription_dagster.model import RemovedSpeech, SpeechOptions, Transcript
from transcription_dagster.whisper.blocks import Block, blocks_of, read_ahead
from transcription_dagster.whisper.device_errors import device_errors
from transcription_dagster.whisper.hallucinations import without_inventions
from transcription_dagster.whisper.language_detection import guess_language, language_code
from transcription_dagster.whisper.models import open_model
from transcription_dagster.whisper.passes import Hearing
from transcription_dagster.whisper.utterances import Utterance, numbered, shifted_removal, tail_of_text

#: Longest stretch that Whisper is given at once; its spectrogram and Fourier transform need about a gigabyte.
BLOCK_SECONDS = 1200.0

#: Whisper forgets its own text after a window that needed a temperature above this: the text is not to be trusted.
_TRUSTED_TEMPERATURE = 0.5

#: ISO 639-2's code for a language that nobody can tell.
UNDETERMINED = "und"


@dataclass(frozen=True, slots=True)
class PreparedAudio:
    """A recording whose first block is decoded, so that a GPU need not wait for it. Good for one transcription."""

    #: Length in seconds that the recording's header claims, for the share that is done.
    seconds: float
    first: Block | None
    rest: Iterator[Block]

    def blocks(self) -> Iterator[Block]:
        return chain([] if self.first is None else [self.first], self.rest)


class SpeechEngine:
    """Whisper on one device. Models stay loaded; one transcription at a time.

    `device` is `cpu`, `cuda` or `cuda:N`; `threads` limits what work on the CPU uses; recordings longer than
    `block_seconds` are transcribed in blocks. Raises `InvalidSetting` when the device is not there.
    """

    def __init__(
        self,
        device: str = "cpu",
        *,
        threads: int | None = None,
        models_folder: Path,
        block_seconds: float = BLOCK_SECONDS,
    ) -> None:
        self.device = _checked(device)
        self.models_folder = models_folder
        #: Models loaded so far in this process.
        self.loads = 0
        self._block_seconds = block_seconds
        self._models: dict[str, Whisper] = {}
        if threads is not None:
            torch.set_num_threads(threads)

    def load(self, model: str) -> None:
        """Load a model by name or path, unless it is loaded.

        Raises `UnknownModel`, `ModelUnavailable`, `OutOfMemory`, `DeviceBroken`.
        """
        # For this thread. The word alignment is too small for threads to help, and where processes share the cores they
        # wait for one another for several times the work.
        numba.set_num_threads(1)
        if model in self._models:
            return
        with device_errors():
            self._models[model] = open_model(model, self.models_folder, self.device)
            # Word times need a kernel that is compiled at its first use: a second that no recording shall wait for.
            _keep_compiled(self.models_folder / "compiled")
            dtw(torch.zeros((2, 3), device=self.device))
        self.loads += 1

    def prepare(self, path: Path) -> PreparedAudio:
        """Decode the first block of a recording. May run in another thread than `transcribe`.

        Raises `SourceNotFound` or `UnusableAudio`.
        """
        blocks = blocks_of(path, self._block_seconds)
        return PreparedAudio(claimed_seconds(path) or 0.0, next(blocks, None), blocks)

    def transcribe(
        self,
        audio: PreparedAudio,
        options: SpeechOptions,
        *,
        recording: str,
        on_progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> Transcript:
        """Transcribe a recording; every window `on_progress` gets the share done, 0 to 1, and `should_stop` is asked.

        Up to one block, and unless something was invented, the words, times and probabilities are those of
        `model.transcribe` with the same options, whose random numbers start at the seed 0.
        Raises `TranscriptionAborted`, `OutOfMemory`, `DeviceBroken`, `InvalidSetting` for a language that the model
        does not know, and what `load` raises.
        """
        self.load(options.model)
        model = self._models[options.model]
        hearing = Hearing(model, options, seconds=audio.seconds, on_progress=on_progress, should_stop=should_stop)
        language = language_code(options.language, model)
        heard: list[Utterance] = []
        removed: list[RemovedSpeech] = []
        seconds = 0.0
        for block in read_ahead(audio.blocks()):
            with device_errors():
                language = language or guess_language(model, block.samples, block.speech)
            prompt = _prompt(options, heard)
            said, left_out = _listen(hearing, block, language, prompt, options.remove_invented_speech)
            heard += [utterance.shifted(block.offset) for utterance in said]
            removed += [shifted_removal(item, block.offset) for item in left_out]
            seconds = block.offset + block.seconds
            hearing.progressed(seconds)
        on_progress(1.0)
        words, segments = numbered(heard)
        used = hearing.options_used() | {
            "language": options.language,
            "remove_invented_speech": options.remove_invented_speech,
        }
        return Transcript(
            recording=recording,
            words=words,
            segments=segments,
            language=language or UNDETERMINED,
            duration=seconds,
            model=options.model,
            options=MappingProxyType(used),
            removed=tuple(removed),
        )


def _listen(
    hearing: Hearing, block: Block, language: str | None, prompt: str | None, remove_inventions: bool
) -> tuple[list[Utterance], list[RemovedSpeech]]:
    """Return what was said in a block and what was left out, with times from the block's start."""
    if not remove_inventions:
        return hearing.hear(block, language=language, prompt=prompt), []
    if not block.speech:
        return [], []
    return without_inventions(
        hearing.hear(block, language=language, prompt=prompt),
        block.speech,
        block.seconds,
        lambda clips: hearing.hear_again(block, clips, language=language),
    )


def _prompt(options: SpeechOptions, heard: list[Utterance]) -> str | None:
    """Prime a block as Whisper primes a window: the first with the prompt, later ones with what was said before."""
    if not heard or not options.condition_on_previous_text or heard[-1].temperature > _TRUSTED_TEMPERATURE:
        return options.initial_prompt
    return tail_of_text(heard)


def _keep_compiled(folder: Path) -> None:
    """Have what numba compiles of Whisper kept in `folder` for the next process, unless numba was told of another."""
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
