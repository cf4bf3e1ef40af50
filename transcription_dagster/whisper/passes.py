"""One recording through Whisper: the options, every pass over a block, and the second try with less memory."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from whisper.model import Whisper

from transcription_dagster.errors import OutOfMemory, TranscriptionAborted
from transcription_dagster.model import SpeechOptions
from transcription_dagster.whisper.blocks import Block
from transcription_dagster.whisper.device_errors import device_errors
from transcription_dagster.whisper.spans import Span, common
from transcription_dagster.whisper.utterances import Utterance, utterances
from transcription_dagster.whisper.window_hooks import Stalled, forget_left_over_hooks, watched

_log = logging.getLogger(__name__)

#: How much is skipped where Whisper goes in circles.
_SKIPPED_SECONDS = 1.0

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
            forget_left_over_hooks(self._model)
            gc.collect()
            torch.cuda.empty_cache()
        return self._run(block, clips, changes)

    def _run(self, block: Block, clips: Clips, changes: dict[str, Any]) -> list[Utterance]:
        """Run one pass; where Whisper goes in circles, go on behind that place."""
        found: list[Utterance] = []
        while True:
            try:
                return found + utterances(self._transcribe(block, clips, changes)["segments"])
            except Stalled as stalled:
                _log.warning("%s: going on %.0f s later", stalled, _SKIPPED_SECONDS)
                found += utterances(stalled.segments)
                clips = common(
                    Span(stalled.start + _SKIPPED_SECONDS, block.seconds), clips or [Span(0.0, block.seconds)]
                )
            if not clips:
                return found

    def _transcribe(self, block: Block, clips: Clips, changes: dict[str, Any]) -> dict[str, Any]:
        parameters = self.options_used() | changes
        if clips is not None:
            parameters["clip_timestamps"] = [time for clip in clips for time in (clip.start, clip.end)]
        samples: Any = block.samples
        # Above temperature 0 Whisper samples: the same recording shall give the same words again.
        torch.manual_seed(0)
        with (
            device_errors(),
            watched(self._model, len(parameters["temperature"]), lambda start: self._at_window(block.offset + start)),
        ):
            if self._on_gpu and not self._sparing:
                samples = torch.from_numpy(samples).to(self._model.device)
            return self._model.transcribe(samples, **parameters)

    def _at_window(self, seconds: float) -> None:
        if self._should_stop():
            raise TranscriptionAborted
        self.progressed(seconds)
