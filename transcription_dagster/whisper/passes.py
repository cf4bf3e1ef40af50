"""Passes of Whisper over the blocks of a recording: a first pass, and further ones over what looks wrong in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from whisper.audio import N_SAMPLES, log_mel_spectrogram

from transcription_dagster.model import DoubtfulSpeech, Gap, RemovedSpeech, SpeechOptions
from transcription_dagster.whisper.blocks import Block
from transcription_dagster.whisper.decoding.loop import MAX_TRUSTED_TEMPERATURE, LoopOptions, transcription
from transcription_dagster.whisper.decoding.requests import Align, Decode, Detect, SpeechModel
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages
from transcription_dagster.whisper.repair.evidence import audible_parts
from transcription_dagster.whisper.repair.hallucinations import without_hallucinations
from transcription_dagster.whisper.repair.lost_speech import with_lost_speech
from transcription_dagster.whisper.repair.word_edges import with_snapped_edges
from transcription_dagster.whisper.spans import Span
from transcription_dagster.whisper.utterances import Utterance, shifted, tail_of_text, utterances

#: Whisper's default temperatures, for second passes over text that failed at a single one.
_LADDER = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
#: A second pass that only checks the first one does not sample.
_GREEDY = (0.0,)

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


@dataclass(slots=True)
class TimedText:
    """The text of a block or a recording, with the findings about it; times are from its start."""

    utterances: list[Utterance] = field(default_factory=list[Utterance])
    removed: Sequence[RemovedSpeech] = ()
    doubtful: Sequence[DoubtfulSpeech] = ()
    gaps: Sequence[Gap] = ()

    def append(self, block: TimedText, *, offset: float) -> None:
        """Append a block that starts `offset` seconds after this start."""
        self.utterances += [utterance.shifted(offset) for utterance in block.utterances]
        self.removed = [*self.removed, *(shifted(item, offset) for item in block.removed)]
        self.doubtful = [*self.doubtful, *(shifted(item, offset) for item in block.doubtful)]
        self.gaps = [*self.gaps, *(shifted(item, offset) for item in block.gaps)]


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

    def transcribe_block(self, block: Block, languages: SpokenLanguages, *, before: Sequence[Utterance]) -> TimedText:
        """Transcribe a block, check the result, and transcribe doubtful or missing parts again.

        `before` is the text of the preceding blocks. Raises the errors of `transcribe`.
        """
        first = PassOptions(languages, self._prompt(before))
        if not self._options.remove_invented_speech:
            return TimedText(self.transcribe(block, None, first))
        sound = block.sound
        audible = audible_parts(sound)
        if not audible:
            return TimedText()

        def transcribe_again(clips: Sequence[Span], persistently: bool = False) -> list[Utterance]:
            temperatures = self._ladder if persistently else _GREEDY
            return self.transcribe(block, clips, PassOptions(languages, afresh=True, temperatures=temperatures))

        spoken = self.transcribe(block, None if audible == (Span(0.0, sound.seconds),) else audible, first)
        checked = without_hallucinations(spoken, sound, transcribe_again)
        complete, gaps = with_lost_speech(checked.kept, sound, transcribe_again, checked.removed)
        return TimedText(with_snapped_edges(complete, sound), checked.removed, checked.doubtful, gaps)

    @property
    def _ladder(self) -> tuple[float, ...]:
        return self._options.temperatures if len(self._options.temperatures) > 1 else _LADDER

    def _prompt(self, before: Sequence[Utterance]) -> str | None:
        """Return the prompt of a block: the initial prompt for the first one, the preceding text for later ones."""
        conditioned = self._options.condition_on_previous_text
        if not before or not conditioned or before[-1].temperature > MAX_TRUSTED_TEMPERATURE:
            return self._options.initial_prompt
        return tail_of_text(before)

    def transcribe(self, block: Block, clips: Clips, options: PassOptions) -> list[Utterance]:
        """Make one pass over a block, or over parts of it; times are from the block's start.

        Raises `TranscriptionAborted`, `TimeLimitExceeded`, `OutOfMemory`, `DeviceBroken`.
        """
        loop_options = LoopOptions(
            languages=options.languages,
            temperatures=self._options.temperatures if options.temperatures is None else options.temperatures,
            beam_size=self._options.beam_size,
            condition_on_previous_text=self._options.condition_on_previous_text and not options.afresh,
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
