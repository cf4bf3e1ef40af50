"""Whisper's decoding loop: decode window after window, cut each into segments, and time its words.

The segments equal those of openai-whisper's `model.transcribe` with `word_timestamps=True`. The loop never touches the
model: it yields requests. Its caller decides when and where to run them and which to batch, and sees the progress at
every request.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn.functional import pad
from whisper.audio import FRAMES_PER_SECOND, N_FRAMES
from whisper.tokenizer import Tokenizer

from transcription_dagster.whisper.decoding.requests import Align, Decode, Decoded, Requests, Vocabulary, Window
from transcription_dagster.whisper.decoding.segments import (
    DecodedSegment,
    cleared_if_empty,
    end_of_speech,
    split_segments,
    with_word_times,
)
from transcription_dagster.whisper.decoding.spoken_languages import SpokenLanguages
from transcription_dagster.whisper.spans import Span

_log = logging.getLogger(__name__)

#: Whisper's own thresholds (defaults of `model.transcribe`). A text is decoded again at the next temperature if it is
#: more repetitive than this, or its average log probability is lower.
MAX_COMPRESSION_RATIO = 2.4
MIN_LOG_PROBABILITY = -1.0
#: An unlikely text counts as silence if the probability of no speech in its window exceeds this.
MAX_NO_SPEECH_PROBABILITY = 0.6
#: Text sampled above this temperature is not trusted: it does not become the prompt of the next window.
MAX_TRUSTED_TEMPERATURE = 0.5

#: Decoding resumes at the end of the last word, which can be where the window began. After this many rounds without
#: progress, skip this many frames.
_MAX_ROUNDS = 3
_SKIPPED_FRAMES = FRAMES_PER_SECOND


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How to decode a recording; fields mean the same as the parameters of `model.transcribe`."""

    languages: SpokenLanguages
    #: Tried in order while the text of a window looks wrong.
    temperatures: tuple[float, ...]
    beam_size: int | None
    #: Use the preceding text as a window's prompt.
    condition_on_previous_text: bool
    #: Prompt of the first window.
    initial_prompt: str | None
    #: The parts to decode, in order; None: everything.
    clips: Sequence[Span] | None = None


@dataclass(slots=True)
class _LoopState:
    """The state that one window passes to the next."""

    #: Tokens of the initial prompt and of all text so far.
    text: list[int]
    #: Index in `text` where the prompt of the next window begins.
    prompt_from: int = 0
    #: End of the last word, in seconds.
    speech_end: float = 0.0
    segments: list[DecodedSegment] = field(default_factory=list)

    @property
    def prompt(self) -> tuple[int, ...]:
        return tuple(self.text[self.prompt_from :])

    def add(self, segments: Sequence[DecodedSegment], *, as_prompt: bool) -> None:
        """Add the segments of a window; `as_prompt`: their text belongs to the prompt of the next window."""
        self.segments += segments
        self.text += [token for segment in segments for token in segment.tokens]
        if not as_prompt:
            self.forget_text()

    def forget_text(self) -> None:
        """Start the prompt of the next window empty."""
        self.prompt_from = len(self.text)

    def forget_window(self, start: int) -> None:
        """Drop the segments of the window at frame `start`, and start the prompt of the next window empty."""
        self.segments = [segment for segment in self.segments if segment.window != start]
        self.forget_text()


def transcription(spectrogram: Tensor, vocabulary: Vocabulary, options: LoopOptions) -> Requests[list[DecodedSegment]]:
    """Transcribe a log-mel spectrogram of shape (mels, frames) whose last 3000 frames are padding.

    Clips that reach past the audio are cut at its end. A window ends where the language changes; the next window gets
    no prompt, since the preceding text is in another language. When decoding returns to the same place repeatedly, the
    text of that window is dropped and decoding continues a second later.
    """
    languages = options.languages
    language = languages.before
    prompt = options.initial_prompt
    state = _LoopState([] if prompt is None else vocabulary.tokenizer("en").encode(" " + prompt.strip()))
    for start, stop in _clips(options.clips, spectrogram.shape[-1] - N_FRAMES):
        seek, rounds = start, 0
        while seek < stop:
            window = _cut(spectrogram, seek, stop)
            before = language
            language, change = yield from languages.of_window(window, spectrogram)
            if change < window.stop:
                window = _cut(spectrogram, seek, change)
            if language != before and before is not None:
                state.forget_text()
            resume = yield from _transcribe_window(window, vocabulary.tokenizer(language), options, state)
            rounds = rounds + 1 if resume == seek else 0
            if rounds == _MAX_ROUNDS:
                _log.warning("Whisper does not get past %.2f s and skips a second", seek / FRAMES_PER_SECOND)
                state.forget_window(seek)
                resume, rounds = seek + _SKIPPED_FRAMES, 0
            seek = resume
    return state.segments


def _clips(clips: Sequence[Span] | None, frames: int) -> Iterator[tuple[int, int]]:
    """Yield the frames at which the clips start and stop."""
    if clips is None:
        yield 0, frames
        return
    for clip in clips:
        yield round(clip.start * FRAMES_PER_SECOND), min(frames, round(clip.end * FRAMES_PER_SECOND))


def _cut(spectrogram: Tensor, start: int, stop: int) -> Window:
    """Return the window from a frame on; what it holds ends at `stop` at the latest."""
    frames = min(N_FRAMES, stop - start)
    return Window(start, frames, pad(spectrogram[:, start : start + frames], (0, N_FRAMES - frames)))


def _transcribe_window(window: Window, tokenizer: Tokenizer, options: LoopOptions, state: _LoopState) -> Requests[int]:
    """Add the segments of a window to those before; return the frame at which the next window begins."""
    decoded = yield from _decode_with_fallback(window, tokenizer, options, state.prompt)
    if _is_silence(decoded):
        return window.stop
    split = split_segments(decoded, window, tokenizer)
    text = tuple(token for segment in split.segments for token in segment.tokens if token < tokenizer.eot)
    segments = with_word_times(
        split.segments,
        (yield Align(window, tokenizer, text)) if text else [],
        tokenizer,
        offset=window.start_seconds,
        speech_end=state.speech_end,
    )
    state.speech_end = end_of_speech(segments)
    trusted = decoded.temperature <= MAX_TRUSTED_TEMPERATURE
    state.add(
        [cleared_if_empty(segment) for segment in segments],
        as_prompt=trusted and options.condition_on_previous_text,
    )
    if split.closed or state.speech_end <= window.start_seconds:
        return split.resume
    return round(state.speech_end * FRAMES_PER_SECOND)


def _decode_with_fallback(
    window: Window, tokenizer: Tokenizer, options: LoopOptions, prompt: tuple[int, ...]
) -> Requests[Decoded]:
    """Decode a window at increasing temperatures until the text looks right; return the last result."""
    first, *others = options.temperatures
    decoded: Decoded = yield Decode(window, tokenizer, prompt, first, options.beam_size)
    for temperature in others:
        if not _looks_wrong(decoded):
            break
        decoded = yield Decode(window, tokenizer, prompt, temperature, options.beam_size)
    return decoded


def _looks_wrong(decoded: Decoded) -> bool:
    unlikely = decoded.average_log_probability < MIN_LOG_PROBABILITY
    if unlikely and decoded.no_speech_probability > MAX_NO_SPEECH_PROBABILITY:
        return False
    return unlikely or decoded.compression_ratio > MAX_COMPRESSION_RATIO


def _is_silence(decoded: Decoded) -> bool:
    likely = decoded.average_log_probability > MIN_LOG_PROBABILITY
    return decoded.no_speech_probability > MAX_NO_SPEECH_PROBABILITY and not likely
