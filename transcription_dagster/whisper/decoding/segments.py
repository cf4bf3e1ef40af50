"""Split the text of a decoded window into segments at its timestamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from whisper.tokenizer import Tokenizer

from transcription_dagster.whisper.decoding.requests import Decoded, Window

#: Resolution of Whisper's timestamps.
SECONDS_PER_TIMESTAMP = 0.02
_FRAMES_PER_TIMESTAMP = 2


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word with its times in seconds."""

    #: With its leading space, if any.
    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class DecodedSegment:
    """A segment with its times in seconds."""

    start: float
    end: float
    text: str
    #: With its timestamps.
    tokens: tuple[int, ...]
    #: Whisper's language code.
    language: str
    #: First frame of its window, and the result of decoding it.
    window: int
    decoded: Decoded
    words: tuple[TimedWord, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """The segments of a window, and where decoding resumes."""

    segments: list[DecodedSegment]
    #: A frame of the spectrogram.
    resume: int
    #: A timestamp closes the speech of the window, so the next window cannot repeat any of it.
    closed: bool


def split_segments(decoded: Decoded, window: Window, tokenizer: Tokenizer) -> Split:
    """Split a window's tokens at each pair of consecutive timestamps.

    Text after the last pair is dropped and decoded again at the start of the next window, unless a timestamp closes it.
    Without a pair, the window is one segment.
    """
    tokens, first = decoded.tokens, tokenizer.timestamp_begin
    language = tokenizer.language or "en"

    def segment(part: tuple[int, ...], start: float, end: float) -> DecodedSegment:
        text = tokenizer.decode([token for token in part if token < tokenizer.eot])
        return DecodedSegment(
            window.start_seconds + start, window.start_seconds + end, text, part, language, window.start, decoded
        )

    stamps = [token - first if token >= first else None for token in tokens]
    closed = len(stamps) > 1 and stamps[-2] is None and stamps[-1] is not None
    cuts = [place + 1 for place, (one, other) in enumerate(pairwise(stamps)) if None not in (one, other)]
    if not cuts:
        last = next((stamp for stamp in reversed(stamps) if stamp is not None), 0)
        seconds = last * SECONDS_PER_TIMESTAMP if last else window.seconds
        return Split([segment(tokens, 0.0, seconds)], window.stop, closed)
    if closed:
        cuts.append(len(tokens))
    parts = [tokens[start:stop] for start, stop in pairwise([0, *cuts])]
    segments = [
        segment(part, (part[0] - first) * SECONDS_PER_TIMESTAMP, (part[-1] - first) * SECONDS_PER_TIMESTAMP)
        for part in parts
    ]
    covered = window.frames if closed else (parts[-1][-1] - first) * _FRAMES_PER_TIMESTAMP
    return Split(segments, window.start + covered, closed)


def end_of_speech(segments: Sequence[DecodedSegment]) -> float:
    """Return the end of the last word, or of the last segment if there are no words."""
    return next((words[-1].end for segment in reversed(segments) if (words := segment.words)), segments[-1].end)


def cleared_if_empty(segment: DecodedSegment) -> DecodedSegment:
    """Return a segment without its tokens and words if it takes no time or has no text."""
    if segment.start != segment.end and segment.text.strip():
        return segment
    return replace(segment, text="", tokens=(), words=())
