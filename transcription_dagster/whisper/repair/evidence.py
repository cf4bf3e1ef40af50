"""Evidence against transcribed words, from independent witnesses.

Whisper hallucinates words where there is no speech, and voice activity detection misses whispering, distant voices and
laughter. Neither is trusted alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from transcription_dagster.model import Word
from transcription_dagster.whisper.decoding.loop import (
    MAX_COMPRESSION_RATIO,
    MAX_NO_SPEECH_PROBABILITY,
    MIN_LOG_PROBABILITY,
)
from transcription_dagster.whisper.spans import Span, without
from transcription_dagster.whisper.utterances import Utterance
from transcription_dagster.whisper.voice_activity import FRAME_SECONDS, Sound


class Witness(StrEnum):
    """A witness that a word was not spoken."""

    #: The audio is no louder than the recording's own noise.
    LEVEL = "level"
    #: The detector finds no voice, even with quiet parts amplified.
    VOICE = "voice"
    #: The model rates the window as silence, or its own text as improbable or too repetitive.
    MODEL = "model"
    #: The word is too short, too long or improbable given its audio: the attention finds no matching sound.
    ATTENTION = "attention"
    #: In a second pass without the preceding text, the model does not repeat the word.
    HEARING = "hearing"


#: The witnesses that examine the audio itself. Without one of them, a word is only doubtful if both the model and its
#: attention speak against it: a model with low confidence may still have transcribed speech.
_ACOUSTIC = frozenset({Witness.LEVEL, Witness.VOICE})
_MODEL_AND_ATTENTION = frozenset({Witness.MODEL, Witness.ATTENTION})

#: Sound this much (dB) above the noise exceeds the noise's own variation.
_LOUDER_DB = 6.0
#: Word times are inexact: examine this much audio (s) before and after a word too.
_AROUND_LEVEL = 0.2
_AROUND_VOICE = 0.5
#: A word this short (s) was not aligned to its audio; examine this much (s) more around it.
_UNALIGNED = 0.05
_AROUND_UNALIGNED = 1.0
#: Below this probability the detector is sure that there is no voice (Silero's own threshold for the end of speech).
_VOICELESS = 0.35

#: Stretches without any signal up to this length (s) are transcribed like the rest: they take one window at most.
_LONG_NO_SIGNAL = 30.0
#: Transcribe this much (s) of such a stretch with its neighbour.
_AROUND_NO_SIGNAL = 1.0

#: Whisper's own thresholds for an anomalous word (`word_anomaly_score`).
_IMPROBABLE_WORD = 0.15
_SHORTEST_WORD = 0.133
_LONGEST_WORD = 2.0


def witnesses(utterances: Sequence[Utterance], sound: Sound) -> list[frozenset[Witness]]:
    """Return, for each word of all utterances in order, the witnesses against it."""
    of_words: list[frozenset[Witness]] = []
    for utterance in utterances:
        of_utterance = set()
        if doubts_itself(utterance):
            of_utterance.add(Witness.MODEL)
        if is_anomalous(utterance.words):
            of_utterance.add(Witness.ATTENTION)
        for place, word in enumerate(utterance.words):
            # A dash or a note has no sound of its own: it shares the evidence of the word before it.
            spoken = any(map(str.isalnum, word.text)) or place == 0
            of_words.append(frozenset(of_utterance | _against(word, sound)) if spoken else of_words[-1])
    return of_words


def _against(word: Word, sound: Sound) -> set[Witness]:
    against = set()
    more = _AROUND_UNALIGNED if word.end - word.start < _UNALIGNED else 0.0
    near, far = _AROUND_LEVEL + more, _AROUND_VOICE + more
    if sound.levels.above_noise(word.start - near, word.end + near) < _LOUDER_DB:
        against.add(Witness.LEVEL)
    if sound.voice_between(word.start - far, word.end + far) < _VOICELESS:
        against.add(Witness.VOICE)
    if word.confidence < _IMPROBABLE_WORD or not 0 < word.end - word.start <= _LONGEST_WORD:
        against.add(Witness.ATTENTION)
    return against


def doubts_itself(utterance: Utterance) -> bool:
    """Return whether the model rates the window as silence, or its text as improbable or repetitive."""
    return (
        is_silence(utterance)
        or utterance.average_log_probability < MIN_LOG_PROBABILITY
        or utterance.compression_ratio > MAX_COMPRESSION_RATIO
    )


def is_silence(utterance: Utterance) -> bool:
    """Return whether the model considers silence more likely than speech in this utterance's window."""
    return utterance.no_speech_probability > MAX_NO_SPEECH_PROBABILITY


def is_anomalous(words: Sequence[Word]) -> bool:
    """Return whether words are so short, long or improbable that Whisper's own rule takes them for hallucinations.

    The rule is `is_segment_anomaly` of `whisper.transcribe`, with a score for each word.
    """
    scores = [_anomaly(word) for word in words[:8]]
    return bool(scores) and (sum(scores) >= 3 or sum(scores) + 0.01 >= len(scores))


def _anomaly(word: Word) -> float:
    seconds = word.end - word.start
    return (
        (1.0 if word.confidence < _IMPROBABLE_WORD else 0.0)
        + max(0.0, _SHORTEST_WORD - seconds) * 15
        + max(0.0, seconds - _LONGEST_WORD)
    )


def has_acoustic_evidence(against: frozenset[Witness]) -> bool:
    """Return whether a witness that examined the audio speaks against a word."""
    return not _ACOUSTIC.isdisjoint(against)


def is_suspect(against: frozenset[Witness]) -> bool:
    """Return whether there is enough evidence to doubt a word."""
    return has_acoustic_evidence(against) or against >= _MODEL_AND_ATTENTION


def is_hallucinated(against: frozenset[Witness]) -> bool:
    """Return whether a word is removed: two witnesses suffice if one of them examined the audio, otherwise three.

    Without acoustic evidence, the model and its attention are not enough; a second pass has to contradict the word too.
    """
    return len(against) >= 2 if has_acoustic_evidence(against) else against >= _MODEL_AND_ATTENTION | {Witness.HEARING}


def audible_parts(sound: Sound) -> tuple[Span, ...]:
    """Return the parts of a stretch of sound worth transcribing: all of it, except long stretches without any signal.

    A stretch is left out if the level never exceeds the noise and there is no voice, for the whole sound or for longer
    than one of Whisper's windows. There the model can only hallucinate, and takes long to do so.
    """
    signal = (sound.levels.frames - sound.levels.noise >= _LOUDER_DB) | (sound.voice >= _VOICELESS)
    if not signal.any():
        return ()
    places = np.flatnonzero(signal) * FRAME_SECONDS
    edges = np.concatenate([[-_AROUND_NO_SIGNAL], places, [sound.seconds + _AROUND_NO_SIGNAL]])
    wide = np.flatnonzero(np.diff(edges) > _LONG_NO_SIGNAL + 2 * _AROUND_NO_SIGNAL)
    no_signal = [Span(float(edges[at]) + _AROUND_NO_SIGNAL, float(edges[at + 1]) - _AROUND_NO_SIGNAL) for at in wide]
    return without(Span(0.0, sound.seconds), no_signal)
