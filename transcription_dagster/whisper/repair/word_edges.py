"""Snap word times to speech: move word boundaries to where voice activity begins and ends.

Whisper derives word times from its attention, which drifts across pauses: the first word of a recording starts at 0.0,
a word after a pause starts with the pause, and the last word before a pause extends into it or ends too early.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from transcription_dagster.model import Word
from transcription_dagster.whisper.spans import Span, common, merged
from transcription_dagster.whisper.utterances import Utterance, with_words
from transcription_dagster.whisper.voice_activity import FRAME_SECONDS, Sound

#: A silence shorter than this (s) is the closure of a consonant, not a pause.
_PAUSE_SECONDS = 0.3
#: If a word spans a pause, a part as short as this (s) belongs to the neighbouring word.
_SCRAP_SECONDS = 0.25
#: Voice activity detection misses hissing sounds at the edges of words: extend speech by up to this (s) while the audio
#: stays loud.
_HISS_SECONDS = 0.16
#: Such audio is at least this much (dB) above the noise, and at most this much below the loudest of its speech: where
#: pauses are digital silence, the room around a voice is loud beside them.
_HISS_DB = 10.0
_HISS_BELOW_SPEECH_DB = 35.0
#: A word is extended to the end of its voice by at most this (s); a longer rest holds other words.
_EXTENSION_SECONDS = 0.8
#: Words are not made shorter than this, in seconds.
_SHORTEST_SECONDS = 0.06


def with_snapped_edges(utterances: Sequence[Utterance], sound: Sound) -> list[Utterance]:
    """Return the utterances with word times that exclude pauses and last as long as the voice.

    Words keep their order, and no word starts earlier than before. Words outside all speech keep their times, clipped
    to the length of the sound.
    """
    voiced = [_with_hiss(span, sound) for span in merged(sound.speech, _PAUSE_SECONDS)]
    snapped = [tuple(_snapped(utterance.words, voiced, sound.seconds)) for utterance in utterances]
    starts = [word.start for words in snapped for word in words]
    following = iter([*starts[1:], sound.seconds])
    return [
        with_words(utterance, tuple(_extended_to_voice(word, next(following), voiced) for word in words))
        for utterance, words in zip(utterances, snapped, strict=True)
    ]


def _extended_to_voice(word: Word, following: float, voiced: Sequence[Span]) -> Word:
    """Extend a word to the end of its voiced span if it is the last word in that span."""
    index = bisect_right(voiced, word.end, key=lambda span: span.start) - 1
    if index < 0:
        return word
    end = round(voiced[index].end, 2)
    return replace(word, end=end) if word.end < end <= min(following, word.end + _EXTENSION_SECONDS) else word


def _snapped(words: Sequence[Word], voiced: Sequence[Span], seconds: float) -> Iterator[Word]:
    for word in words:
        whole = Span(min(word.start, seconds), min(word.end, seconds))
        span = _without_scraps(common(whole, voiced))
        if span is None or span.seconds < _SHORTEST_SECONDS:
            span = whole
        if span == Span(word.start, word.end):
            yield word
        else:
            yield replace(word, start=round(span.start, 2), end=round(span.end, 2))


def _without_scraps(parts: Sequence[Span]) -> Span | None:
    """Return the time from a word's first to its last voiced part, without short parts that belong to neighbours."""
    rest = list(parts)
    while len(rest) > 1 and rest[0].seconds <= _SCRAP_SECONDS and rest[0].seconds <= rest[-1].seconds:
        del rest[0]
    while len(rest) > 1 and rest[-1].seconds <= _SCRAP_SECONDS:
        del rest[-1]
    return Span(rest[0].start, rest[-1].end) if rest else None


def _with_hiss(span: Span, sound: Sound) -> Span:
    """Return a stretch of speech extended over adjacent loud sound."""
    most = round(_HISS_SECONDS / FRAME_SECONDS)
    first, last = round(span.start / FRAME_SECONDS), round(span.end / FRAME_SECONDS)
    speech = sound.levels.frames[first:last].max(initial=-np.inf)
    loud = sound.levels.frames >= max(sound.levels.noise + _HISS_DB, speech - _HISS_BELOW_SPEECH_DB)
    before = next((count for count in range(most) if first - 1 - count < 0 or not loud[first - 1 - count]), most)
    after = next((count for count in range(most) if last + count >= loud.size or not loud[last + count]), most)
    return Span(max(0.0, span.start - before * FRAME_SECONDS), min(sound.seconds, span.end + after * FRAME_SECONDS))
