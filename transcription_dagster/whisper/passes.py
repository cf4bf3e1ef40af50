"""Passes of Whisper over a recording: their options, and one pass over a block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from whisper.audio import N_SAMPLES, log_mel_spectrogram

from transcription_dagster.model import SpeechOptions
from transcription_dagster.whisper.blocks import Block
from transcription_dagster.whisper.decoding.loop import LoopOptions, transcription
from transcription_dagster.whisper.decoding.requests import Align, Decode, Detect
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages
from transcription_dagster.whisper.spans import Span
from transcription_dagster.whisper.speech_model import SpeechModel
from transcription_dagster.whisper.utterances import Utterance, utterances

#: The parts of a block that a pass covers; None: all of it.
Clips = Sequence[Span] | None


@dataclass(frozen=True, slots=True)
class PassOptions:
    """Options of one pass that differ from the recording's."""

    languages: SpokenLanguages
    prompt: str | None = None
    #: Decode each window without the preceding text.
    afresh: bool = False
    #: Tried in turn while the result looks wrong; None: the recording's.
    temperatures: tuple[float, ...] | None = None


class Passes:
    """The state shared by all passes over one recording.

    `on_progress` gets the share of `seconds` done, which never decreases.
    """

    def __init__(
        self,
        model: SpeechModel,
        options: SpeechOptions,
        *,
        seconds: float,
        on_progress: Callable[[float], None],
    ) -> None:
        self._model = model
        self._options = options
        self._seconds = seconds
        self._on_progress = on_progress
        self._progress = 0.0

    def progressed(self, seconds: float) -> None:
        """Report progress up to this second."""
        self._progress = max(self._progress, min(1.0, seconds / self._seconds) if self._seconds else 0.0)
        self._on_progress(self._progress)

    def transcribe(self, block: Block, clips: Clips, options: PassOptions) -> list[Utterance]:
        """Transcribe a block, or parts of it, with times from the block's start.

        Raises `TranscriptionAborted`, `TimeLimitExceeded`, `OutOfMemory`, `DeviceBroken`.
        """
        own = self._options
        loop_options = LoopOptions(
            languages=options.languages,
            temperatures=own.temperatures if options.temperatures is None else options.temperatures,
            beam_size=own.beam_size,
            condition_on_previous_text=own.condition_on_previous_text and not options.afresh,
            initial_prompt=options.prompt,
            clips=clips,
        )
        spectrogram = log_mel_spectrogram(block.samples, self._model.mels, padding=N_SAMPLES)
        loop = transcription(spectrogram, self._model.vocabulary, loop_options)

        def at_window(request: Decode | Align | Detect) -> None:
            if isinstance(request, Decode):
                self.progressed(block.offset + request.window.start_seconds)

        return utterances(self._model.run(loop, at_window))

    def options_used(self) -> dict[str, Any]:
        """Return the recording's options, with the parameters of `model.transcribe` as used for its first block."""
        options = self._options
        return {
            "temperature": options.temperatures,
            "beam_size": options.beam_size,
            "condition_on_previous_text": options.condition_on_previous_text,
            "initial_prompt": options.initial_prompt,
            "word_timestamps": True,
            **self._model.options_used,
            "language": options.language,
            "languages": options.languages,
            "remove_invented_speech": options.remove_invented_speech,
        }
