"""Recover lost speech: transcribe speech without words again, and mark it as a gap if it stays empty."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from transcription_dagster.language.spelling import fold
from transcription_dagster.model import Gap, RemovedSpeech, Word
from transcription_dagster.whisper.repair.evidence import doubts_itself, is_anomalous
from transcription_dagster.whisper.repair.hallucinations import find_loops
from transcription_dagster.whisper.repair.word_edges import with_snapped_edges
from transcription_dagster.whisper.spans import Span, common, merged, without
from transcription_dagster.whisper.utterances import Utterance, middle_of, with_words, words_of
from transcription_dagster.whisper.voice_activity import Sound

#: Seconds of speech without a word that count as lost; less is a breath, a filler or an error of word times.
_MIN_SECONDS = 1.0
#: Near removed text less speech (s) counts as lost, and this is how near (s).
_MIN_DISPLACED_SECONDS = 0.4
_DISPLACED_SECONDS = 2.0
#: A word accounts for speech within this distance, in seconds.
_NEAR_SECONDS = 0.3
#: A long word accounts only for this much (s) after its start and before its end.
_WORD_SECONDS = 1.0
#: Shorter pauses (s) belong to the speech around them.
_PAUSE_SECONDS = 0.5
#: Breaths that stay without words are transcribed again, grouped up to this length (s). The groups are longer if there
#: would otherwise be more than one per this many seconds of sound, or more than this many.
_BREATHS_SECONDS = 2.0
_SECONDS_FOR_A_PART = 10.0
_MIN_PARTS = 10
#: Seconds of audio around speech that are transcribed with it.
_AROUND_SECONDS = 0.3
#: Seconds that the words of lost speech may extend beyond it.
_EDGE_SECONDS = 0.5
#: Misplaced words are this close (s) to where they were spoken, and at least this many of them are this short (s).
_MISPLACED_SECONDS = 5.0
_SQUEEZED_SECONDS = 0.04
_MIN_SQUEEZED = 3
#: A second pass is discarded if at least this share of its words repeats misplaced ones.
_REPEATED = 2 / 3

#: Transcribes the given spans again, without the preceding text.
TranscribeGaps = Callable[[Sequence[Span]], list[Utterance]]


def with_lost_speech(
    utterances: list[Utterance], sound: Sound, transcribe_again: TranscribeGaps, removed: Sequence[RemovedSpeech] = ()
) -> tuple[list[Utterance], list[Gap]]:
    """Return `utterances` with the lost speech of `sound` added, and the gaps that remain.

    Near text that was `removed`, less speech is enough: its words may have been spoken there and misplaced. Speech that
    stays without words is transcribed once more, breath by breath: when a phrase is repeated many times in one window,
    the model writes it only once.
    """
    places = (Span(item.start, item.end).widened(_DISPLACED_SECONDS, limit=sound.seconds) for item in removed)
    near = merged(sorted(places), gap=0.0)
    certain = speech_without_words(words_of(utterances), sound)
    spans = speech_without_words(words_of(utterances), sound, _MIN_DISPLACED_SECONDS) if near else certain
    lost = [span for span in spans if span in certain or common(span, near)]
    whole = merged([span.widened(_AROUND_SECONDS, limit=sound.seconds) for span in lost], gap=0.01)
    utterances = _with_credible(utterances, lost, whole, sound, transcribe_again)
    breaths = _breaths(speech_without_words(words_of(utterances), sound), sound)
    utterances = _with_credible(utterances, breaths, breaths, sound, transcribe_again)
    return utterances, [
        Gap(round(span.start, 2), round(span.end, 2)) for span in speech_without_words(words_of(utterances), sound)
    ]


def _with_credible(
    utterances: list[Utterance],
    lost: Sequence[Span],
    clips: Sequence[Span],
    sound: Sound,
    transcribe_again: TranscribeGaps,
) -> list[Utterance]:
    """Return the utterances with the credible words that a second pass over `clips` finds in lost speech."""
    if not clips:
        return utterances
    again = with_snapped_edges(transcribe_again(clips), sound)
    recovered: list[Utterance] = []
    for span in lost:
        # A word in two lost stretches is added once, with the first of them.
        known = set(words_of(recovered))
        for utterance in _credible(again, utterances, span, sound):
            words = tuple(word for word in utterance.words if word not in known)
            if words:
                recovered.append(with_words(utterance, words))
    return interleaved(utterances, recovered)


def _breaths(spans: Sequence[Span], sound: Sound) -> list[Span]:
    """Cut stretches in the middle of their pauses into parts of one or more breaths; drop those without a pause.

    The longer the stretches, the longer the parts: each part costs as much as a window.
    """
    most = max(_MIN_PARTS, sound.seconds / _SECONDS_FOR_A_PART)
    longest = max(_BREATHS_SECONDS, sum(span.seconds for span in spans) / most)
    parts: list[Span] = []
    for span in spans:
        cuts = [span.start]
        for before, after in pairwise(common(span, sound.speech)):
            if after.end - cuts[-1] > longest:
                cuts.append((before.end + after.start) / 2)
        if len(cuts) > 1:
            parts += [Span(start, end) for start, end in pairwise([*cuts, span.end])]
    return parts


def speech_without_words(words: Iterable[Word], sound: Sound, least: float = _MIN_SECONDS) -> tuple[Span, ...]:
    """Return the stretches that hold at least `least` seconds of speech without a word near it."""
    covered = merged(sorted(_near_words(words)), gap=0.0)
    left = [part for span in sound.speech for part in without(span, covered)]
    stretches = merged(left, _PAUSE_SECONDS)
    return tuple(span for span in stretches if sum(span.overlap_seconds(part) for part in left) >= least)


def _near_words(words: Iterable[Word]) -> Iterable[Span]:
    for word in words:
        if word.end - word.start <= 2 * _WORD_SECONDS:
            yield Span(word.start - _NEAR_SECONDS, word.end + _NEAR_SECONDS)
        else:
            yield Span(word.start - _NEAR_SECONDS, word.start + _WORD_SECONDS)
            yield Span(word.end - _WORD_SECONDS, word.end + _NEAR_SECONDS)


def _credible(again: Sequence[Utterance], utterances: Sequence[Utterance], span: Span, sound: Sound) -> list[Utterance]:
    """Return the words of a second pass that belong to lost speech, if they are beyond doubt.

    These words have no other evidence: the model must trust them, most of their time must be voiced, and they must not
    be a loop.
    """
    place = span.widened(_EDGE_SECONDS, limit=sound.seconds)
    known = [
        word
        for utterance in utterances
        for word in utterance.words
        if word.start < place.end and word.end > place.start
    ]
    credible = []
    for utterance in again:
        words = tuple(
            word
            for word in utterance.words
            if word.start < word.end and place.holds(middle_of(word)) and not _is_known(word, known)
        )
        if not words or doubts_itself(utterance) or is_anomalous(words) or find_loops([word.text for word in words]):
            continue
        if not any(span.holds(middle_of(word)) for word in words) or _are_misplaced(words, utterances, span):
            continue
        voiced = sum(sound.voiced(word.start, word.end) for word in words)
        if voiced >= sum(word.end - word.start for word in words) / 2:
            credible.append(with_words(utterance, words))
    return credible


def _is_known(word: Word, known: Sequence[Word]) -> bool:
    """Return whether the first pass has a word at that place, or the same word next to it."""
    for other in known:
        if other.end - other.start <= 2 * _WORD_SECONDS and other.start <= middle_of(word) <= other.end:
            return True
        near = word.start < other.end + _EDGE_SECONDS and word.end > other.start - _EDGE_SECONDS
        if near and fold(other.text) == fold(word.text):
            return True
    return False


def _are_misplaced(words: Sequence[Word], utterances: Sequence[Utterance], span: Span) -> bool:
    """Return whether the first pass has these words nearby, squeezed into too little time for speech."""
    place = span.widened(_MISPLACED_SECONDS, limit=math.inf)
    near = [word for word in words_of(utterances) if word.start < place.end and word.end > place.start]
    if sum(word.end - word.start <= _SQUEEZED_SECONDS for word in near) < _MIN_SQUEEZED:
        return False
    texts = Counter(fold(word.text) for word in words)
    repeated = (texts & Counter(fold(word.text) for word in near)).total()
    return repeated >= _REPEATED * len(words)


def interleaved(utterances: Sequence[Utterance], additions: Sequence[Utterance]) -> list[Utterance]:
    """Merge both in the order of their words, splitting utterances that others fall into."""
    parts: list[Utterance] = []
    for utterance in utterances:
        cuts = sorted({other.start for other in additions if utterance.start < other.start < utterance.end})
        rest = utterance.words
        for cut in cuts:
            before = tuple(word for word in rest if word.start < cut)
            parts += [with_words(utterance, before)] if before else []
            rest = rest[len(before) :]
        if len(rest) == len(utterance.words):
            parts.append(utterance)
        elif rest:
            parts.append(with_words(utterance, rest))
    return _without_overlaps(sorted([*parts, *additions], key=lambda utterance: utterance.start))


def _without_overlaps(utterances: list[Utterance]) -> list[Utterance]:
    """End the last word of each utterance where the next one begins; such overlap is a word stretched too far."""
    for number, (before, after) in enumerate(pairwise(utterances)):
        if before.words[-1].end > after.start:
            last = before.words[-1]
            cut = replace(last, end=max(last.start, after.start))
            utterances[number] = with_words(before, (*before.words[:-1], cut))
    return utterances
