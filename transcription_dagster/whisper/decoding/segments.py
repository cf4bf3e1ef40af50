"""Split the text of a decoded window into segments at its timestamps, and give the segments' words their times.

The alignment of a text with its audio stretches words over pauses. The rules that shorten them are those of
`whisper.timing`, so the times equal those of `model.transcribe`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from whisper.tokenizer import Tokenizer

from transcription_dagster.whisper.decoding.requests import AlignedWord, Decoded, Window

#: Resolution of Whisper's timestamps.
SECONDS_PER_TIMESTAMP = 0.02
_FRAMES_PER_TIMESTAMP = 2

#: Punctuation that belongs to the following word, and to the preceding word.
_OPENING = "\"'“¿([{-"
_CLOSING = "\"'.。,，!！?？:：”)]}、"
_SENTENCE_ENDS = ".。!！?？"

#: Upper limit of the median duration of a word.
_TYPICAL_LIMIT_SECONDS = 0.7
#: A segment's own time replaces that of its first or last word if they are this far apart.
_TOLERANCE_SECONDS = 0.5


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


def with_word_times(
    segments: Sequence[DecodedSegment],
    alignment: Sequence[AlignedWord],
    tokenizer: Tokenizer,
    *,
    offset: float,
    speech_end: float,
) -> list[DecodedSegment]:
    """Return the segments of a window with their words, and with their times fitted to the words.

    `alignment` covers the text of all segments in order, with times from the start of the window, which is at `offset`
    seconds. `speech_end` is the end of the speech before the window.
    """
    typical = _typical_seconds(alignment)
    aligned = deque(_with_punctuation(_shortened_at_sentence_ends(alignment, 2 * typical)))
    timed: list[DecodedSegment] = []
    for segment in segments:
        count = sum(token < tokenizer.eot for token in segment.tokens)
        words = [
            TimedWord(word.text, _rounded(offset + word.start), _rounded(offset + word.end), word.probability)
            for word in _next_words(aligned, count)
            if word.text
        ]
        if words:
            segment = _fitted(segment, _shortened_after_pause(words, speech_end, 2 * typical), typical)
            speech_end = segment.end
        timed.append(segment)
    return timed


def _typical_seconds(alignment: Iterable[AlignedWord]) -> float:
    seconds = [word.end - word.start for word in alignment if word.end != word.start]
    return min(_TYPICAL_LIMIT_SECONDS, float(np.median(seconds))) if seconds else 0.0


def _shortened_at_sentence_ends(alignment: Sequence[AlignedWord], longest: float) -> list[AlignedWord]:
    """Exclude the pause between two sentences from the punctuation before it and from the word after it."""
    shortened = list(alignment[:1])
    for before, word in pairwise(alignment):
        if word.end - word.start > longest:
            if word.text in _SENTENCE_ENDS:
                word = replace(word, end=word.start + longest)
            elif before.text in _SENTENCE_ENDS:
                word = replace(word, start=word.end - longest)
        shortened.append(word)
    return shortened


def _with_punctuation(words: Iterable[AlignedWord]) -> list[AlignedWord]:
    """Attach punctuation to its words, whose times do not change."""
    opened: list[AlignedWord] = []
    for word in reversed([*words]):
        if opened and word.text.startswith(" ") and word.text.strip() in _OPENING:
            after = opened.pop()
            word = replace(after, text=word.text + after.text, tokens=word.tokens + after.tokens)
        opened.append(word)
    closed: list[AlignedWord] = []
    for word in reversed(opened):
        if closed and word.text in _CLOSING and not closed[-1].text.endswith(" "):
            before = closed.pop()
            word = replace(before, text=before.text + word.text, tokens=before.tokens + word.tokens)
        closed.append(word)
    return closed


def _next_words(words: deque[AlignedWord], tokens: int) -> list[AlignedWord]:
    """Remove words from the left until they have this many tokens; return them."""
    removed: list[AlignedWord] = []
    while words and tokens > 0:
        removed.append(words.popleft())
        tokens -= len(removed[-1].tokens)
    return removed


def _shortened_after_pause(words: Sequence[TimedWord], speech_end: float, longest: float) -> list[TimedWord]:
    """Exclude a pause before a segment from its first and second word."""
    first, *others = words
    second = others[0] if others else None
    stretched = first.end - first.start > longest or (second is not None and second.end - first.start > 2 * longest)
    if not stretched or first.end - speech_end <= 2 * longest:
        return list(words)
    if second is not None and second.end - second.start > longest:
        border = max(second.end / 2, second.end - longest)
        first = replace(first, end=border)
        others[0] = replace(second, start=border)
    return [replace(first, start=max(0.0, first.end - longest)), *others]


def _fitted(segment: DecodedSegment, words: list[TimedWord], typical: float) -> DecodedSegment:
    """Fit the segment to its first and last word, or shorten an overlong word at its edge to the segment."""
    start, first = segment.start, words[0]
    if first.start < start - _TOLERANCE_SECONDS and start < first.end:
        words[0] = replace(first, start=max(0.0, min(first.end - typical, start)))
    else:
        start = first.start
    end, last = segment.end, words[-1]
    if last.end > end + _TOLERANCE_SECONDS and end > last.start:
        words[-1] = replace(last, end=max(last.start + typical, end))
    else:
        end = last.end
    return replace(segment, start=start, end=end, words=tuple(words))


def _rounded(seconds: float) -> float:
    """Round as numpy does, which differs slightly from Python."""
    return float(np.round(seconds, 2))
