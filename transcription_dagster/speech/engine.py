"""The speech engine: a model kept loaded, and recordings of any length through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from whisper.model import Whisper

from transcription_dagster.audio.decode import claimed_seconds
from transcription_dagster.errors import InvalidSetting, TranscriptionAborted
from transcription_dagster.model import SpeechOptions, Transcript
from transcription_dagster.speech.blocks import Block, blocks_of
from transcription_dagster.speech.models import open_model
from transcription_dagster.speech.results import Utterance, numbered, utterances
from transcription_dagster.speech.windows import watched

#: Longest stretch that Whisper is given at once; its spectrogram and Fourier transform need about 0.6 GB.
BLOCK_SECONDS = 1200.0

#: Whisper forgets its own text after a window that needed a temperature above this: the text is not to be trusted.
_TRUSTED_TEMPERATURE = 0.5

#: Characters of text that the next block is primed with; Whisper itself keeps the last 223 tokens.
_CARRIED_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class PreparedAudio:
    """A recording whose first block is decoded, so that a GPU need not wait for it. Good for one transcription."""

    path: Path
    first: Block | None
    rest: Iterator[Block]

    @property
    def blocks(self) -> Iterator[Block]:
        return chain([self.first] if self.first is not None else [], self.rest)


class SpeechEngine:
    """Whisper on one device. Models stay loaded; one transcription at a time.

    `device` is `cpu`, `cuda` or `cuda:N`; `threads` limits what the CPU work of this process uses. Raises
    `InvalidSetting` when the device is not there.
    """

    def __init__(
        self,
        device: str = "cpu",
        *,
        threads: int | None = None,
        models_folder: Path,
        block_seconds: float = BLOCK_SECONDS,
    ) -> None:
        self.device = _checked_device(device)
        self.models_folder = models_folder
        #: Models loaded so far in this process.
        self.loads = 0
        self._block_seconds = block_seconds
        self._models: dict[str, Whisper] = {}
        if threads is not None:
            torch.set_num_threads(threads)

    def load(self, model: str) -> None:
        """Load a model by name or path, unless it is loaded. Raises `UnknownModel` or `ModelUnavailable`."""
        if model not in self._models:
            self._models[model] = open_model(model, self.models_folder, self.device)
            self.loads += 1

    def prepare(self, path: Path) -> PreparedAudio:
        """Decode the first block of a recording. May run in another thread than `transcribe`.

        Raises `SourceNotFound` or `UnusableAudio`.
        """
        blocks = blocks_of(path, self._block_seconds)
        return PreparedAudio(path, next(blocks, None), blocks)

    def transcribe(
        self,
        audio: PreparedAudio,
        options: SpeechOptions,
        *,
        recording: str,
        on_progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> Transcript:
        """Transcribe a recording; `on_progress` gets the share done, 0 to 1, and `should_stop` is asked, every window.

        Up to one block the result is that of `model.transcribe` with the same options. Raises
        `TranscriptionAborted`, `UnknownModel`, `ModelUnavailable`.
        """
        self.load(options.model)
        model = self._models[options.model]
        found: list[Utterance] = []
        language = options.language
        seconds = 0.0
        total = 0.0

        def on_window(start: float) -> None:
            if should_stop():
                raise TranscriptionAborted
            if total:
                on_progress(min(1.0, (seconds + start) / total))

        total = _length(audio)
        # Above temperature 0 Whisper samples: the same recording shall give the same words again.
        torch.manual_seed(0)
        with watched(model, on_window):
            for block in audio.blocks:
                seconds = block.offset
                result: dict[str, Any] = model.transcribe(
                    block.samples, **self._decoding(options, language, _prompt(options, found))
                )
                language = result["language"]
                found += utterances(result["segments"], block.offset)
                seconds = block.offset + block.seconds
        on_progress(1.0)
        words, segments = numbered(found)
        return Transcript(
            recording=recording,
            words=words,
            segments=segments,
            language=language or "en",
            duration=seconds,
            model=options.model,
            options=MappingProxyType(self._decoding(options, options.language, options.initial_prompt)),
        )

    def _decoding(self, options: SpeechOptions, language: str | None, prompt: str | None) -> dict[str, Any]:
        return {
            "language": language,
            "temperature": options.temperatures,
            "beam_size": options.beam_size,
            "initial_prompt": prompt,
            "condition_on_previous_text": options.condition_on_previous_text,
            "word_timestamps": True,
            "fp16": self.device != "cpu",
        }


def _length(audio: PreparedAudio) -> float:
    return claimed_seconds(audio.path) or 0.0


def _prompt(options: SpeechOptions, found: list[Utterance]) -> str | None:
    """Prime a block as Whisper primes a window: the first with the prompt, later ones with what was said before."""
    if not found or not options.condition_on_previous_text or found[-1].temperature > _TRUSTED_TEMPERATURE:
        return options.initial_prompt
    return " ".join(utterance.text for utterance in found[-40:])[-_CARRIED_CHARACTERS:]


def _checked_device(device: str) -> str:
    if device == "cpu":
        return device
    if not device.startswith("cuda"):
        raise InvalidSetting(f"{device!r} is not a device: cpu, cuda or cuda:N")
    index = int(device.partition(":")[2] or 0)
    present = torch.cuda.device_count()
    if index >= present:
        raise InvalidSetting(f"there is no GPU {index}: {present} found")
    return f"cuda:{index}"
