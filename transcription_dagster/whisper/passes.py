"""One recording through Whisper: the options, every pass over a block, and the second try with less memory."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from whisper.audio import N_SAMPLES, log_mel_spectrogram
from whisper.model import Whisper

from transcription_dagster.errors import OutOfMemory, TranscriptionAborted
from transcription_dagster.model import SpeechOptions
from transcription_dagster.whisper.blocks import Block
from transcription_dagster.whisper.decoder import Decoder
from transcription_dagster.whisper.decoding_loop import LoopOptions, answered, transcription
from transcription_dagster.whisper.device_errors import device_errors
from transcription_dagster.whisper.requests import Align, Decode, Detect
from transcription_dagster.whisper.spans import Span
from transcription_dagster.whisper.utterances import Utterance, utterances

_log = logging.getLogger(__name__)

#: The parts of a block that a pass goes over; None: all of it, in one.
Clips = Sequence[Span] | None


@dataclass(frozen=True, slots=True)
class Listening:
    """How a pass hears, where that differs from the recording's options."""

    #: Whisper's code of the language; None: guessed.
    language: str | None
    prompt: str | None = None
    #: Without the text before each window.
    afresh: bool = False
    #: Tried in turn while the result looks wrong; None: the recording's.
    temperatures: tuple[float, ...] | None = None


class Hearing:
    """What is the same for every pass over one recording.

    `on_progress` gets the share of `seconds` done, which never falls; `should_stop` is asked at every window.
    """

    def __init__(
        self,
        model: Whisper,
        options: SpeechOptions,
        *,
        seconds: float,
        on_progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._model = model
        self._options = options
        self._seconds = seconds
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._progress = 0.0
        #: Memory ran out once: no beams, and the spectrogram stays off the device.
        self._sparing = False

    def progressed(self, seconds: float) -> None:
        """Say that the recording is done up to here."""
        self._progress = max(self._progress, min(1.0, seconds / self._seconds) if self._seconds else 0.0)
        self._on_progress(self._progress)

    def hear(self, block: Block, clips: Clips, listening: Listening) -> list[Utterance]:
        """Return what Whisper hears in a block, or in parts of it, with times from the block's start.

        Raises `TranscriptionAborted`, `OutOfMemory`, `DeviceBroken`.
        """
        changes: dict[str, Any] = {"language": listening.language, "initial_prompt": listening.prompt}
        if listening.afresh:
            changes["condition_on_previous_text"] = False
        if listening.temperatures is not None:
            changes["temperature"] = listening.temperatures
        return self._sparingly(block, clips, changes)

    def options_used(self) -> dict[str, Any]:
        """Return the parameters of `model.transcribe` for the first block, as they really were."""
        options = self._options
        return {
            "temperature": options.temperatures,
            "beam_size": None if self._sparing else options.beam_size,
            "condition_on_previous_text": options.condition_on_previous_text,
            "initial_prompt": options.initial_prompt,
            "word_timestamps": True,
            "fp16": self._on_gpu,
        }

    @property
    def _on_gpu(self) -> bool:
        return self._model.device.type == "cuda"

    def _sparingly(self, block: Block, clips: Clips, changes: dict[str, Any]) -> list[Utterance]:
        """Run one pass, and once more with less if memory runs out."""
        if not self._sparing:
            try:
                return self._run(block, clips, changes)
            except OutOfMemory as error:
                _log.warning("%s; trying once more, greedy and with the spectrogram off the device", error)
                self._sparing = True
            # Only here, outside of the handler, is the traceback gone that kept the tensors alive.
            gc.collect()
            torch.cuda.empty_cache()
        return self._run(block, clips, changes)

    def _run(self, block: Block, clips: Clips, changes: dict[str, Any]) -> list[Utterance]:
        """Run one pass."""
        used = self.options_used() | changes
        options = LoopOptions(
            language=used["language"],
            temperatures=used["temperature"],
            beam_size=used["beam_size"],
            condition_on_previous_text=used["condition_on_previous_text"],
            initial_prompt=used["initial_prompt"],
            clips=clips,
        )
        decoder = Decoder(self._model)

        def answer(request: Decode | Align | Detect) -> object:
            if isinstance(request, Decode):
                self._at_window(block.offset + request.window.start_seconds)
            return decoder.answer(request)

        # Above temperature 0 Whisper samples: the same recording shall give the same words again.
        torch.manual_seed(0)
        with device_errors():
            loop = transcription(self._spectrogram(block), decoder.vocabulary, options)
            return utterances(answered(loop, answer))

    def _spectrogram(self, block: Block) -> torch.Tensor:
        device = None if self._sparing else self._model.device
        return log_mel_spectrogram(block.samples, self._model.dims.n_mels, padding=N_SAMPLES, device=device)

    def _at_window(self, seconds: float) -> None:
        if self._should_stop():
            raise TranscriptionAborted
        self.progressed(seconds)
