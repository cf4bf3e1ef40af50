"""Telling what a speech model made up: text claimed where nobody speaks, and text that loops.

A window with such text is heard a second time, only where somebody speaks and without the text before it, because
the invention often stands in the place of something that was said. What is still doubtful then is left out. A
recording without doubtful text is never touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from transcription_dagster.model import RemovedSpeech, Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.whisper.loops import repeated_words
from transcription_dagster.whisper.spans import Span, common, merged
from transcription_dagster.whisper.utterances import Utterance

NOBODY_SPEAKS = "nobody speaks here"
LOOPS = "the text repeats itself"

#: A pause shorter than this is part of speech: word times are not exact enough to judge what is claimed in it.
_LONG_SILENCE_SECONDS = 2.0
#: Word times may be off by so much at the edge of a silence.
_EDGE_SECONDS = 0.5
#: Less speech than this, with a pause on either side, is a click or a note that the detector fell for.
_LEAST_SPEECH_SECONDS = 0.4
_PAUSE_SECONDS = 1.0
#: How much sound around speech is heard with it.
_PADDING_SECONDS = 0.3
#: Whisper's own limit, above which it takes a text for a loop; then even its highest temperature did not help.
_LOOPING_COMPRESSION = 2.4

#: The flat index of a word in a row of utterances, with the reason to doubt it.
Doubts = dict[int, str]

#: Hears only the given spans, without the text before them.
HearAgain = Callable[[Sequence[Span]], list[Utterance]]


def without_inventions(
    heard: list[Utterance], speech: Sequence[Span], seconds: float, hear_again: HearAgain
) -> tuple[list[Utterance], list[RemovedSpeech]]:
    """Return what was said of what was `heard` in a recording of `seconds` with `speech`, and what was left out."""
    regions = speech_regions(speech)
    silent = silences(regions, seconds)
    doubts = _doubts(heard, silent)
    windows = _windows_to_hear_again(heard, doubts, seconds)
    if not windows:
        return heard, []
    clips = [clip for window in windows for clip in common(window, _padded(regions))]
    again = hear_again(clips) if clips else []
    doubts_again = _doubts(again, silent)
    second = _pruned(again, doubts_again)
    kept = [utterance for utterance in heard if not _within(utterance.window, windows)]
    removed = _lost(_doubtful_runs(heard, doubts), again) + [
        _removed(run, reason) for reason, run in _doubtful_runs(again, doubts_again)
    ]
    return _by_start(kept + second), sorted(removed, key=lambda item: item.start)


def speech_regions(speech: Sequence[Span]) -> tuple[Span, ...]:
    """Return the stretches in which people speak, pauses included, without what is too short to be speech."""
    phrases = merged(speech, _PAUSE_SECONDS)
    spoken = [
        phrase for phrase in phrases if sum(span.seconds for span in common(phrase, speech)) >= _LEAST_SPEECH_SECONDS
    ]
    return merged(spoken, _LONG_SILENCE_SECONDS)


def silences(regions: Sequence[Span], seconds: float) -> tuple[Span, ...]:
    """Return the stretches in which certainly nobody speaks."""
    ends = [0.0, *(region.end + _EDGE_SECONDS for region in regions)]
    starts = [*(region.start - _EDGE_SECONDS for region in regions), seconds]
    return tuple(Span(end, start) for end, start in zip(ends, starts, strict=True) if start > end)


def _padded(regions: Sequence[Span]) -> list[Span]:
    return [Span(max(0.0, region.start - _PADDING_SECONDS), region.end + _PADDING_SECONDS) for region in regions]


def _doubts(heard: Sequence[Utterance], silent: Sequence[Span]) -> Doubts:
    words = _words(heard)
    doubts = dict.fromkeys(repeated_words([word.text for word in words]), LOOPS)
    for index, word in enumerate(words):
        if _within((word.start + word.end) / 2, silent):
            doubts[index] = NOBODY_SPEAKS
    return doubts


def _windows_to_hear_again(heard: Sequence[Utterance], doubts: Doubts, seconds: float) -> tuple[Span, ...]:
    """Return the stretches that Whisper decoded wrongly: from a bad window to the next that it got words from."""
    starts = sorted({utterance.window for utterance in heard})
    ends = dict(zip(starts, [*starts[1:], seconds], strict=False))
    owners = [utterance.window for utterance in heard for _ in utterance.words]
    bad = {owners[index] for index in doubts}
    bad |= {utterance.window for utterance in heard if utterance.compression_ratio > _LOOPING_COMPRESSION}
    return merged([Span(start, ends[start]) for start in sorted(bad)], gap=0.01)


def _pruned(heard: Iterable[Utterance], doubts: Doubts) -> list[Utterance]:
    """Return the utterances without their doubtful words."""
    pruned = []
    index = 0
    for utterance in heard:
        kept = tuple(word for place, word in enumerate(utterance.words, index) if place not in doubts)
        index += len(utterance.words)
        if len(kept) == len(utterance.words):
            pruned.append(utterance)
        elif kept:
            pruned.append(replace(utterance, words=kept, start=kept[0].start, end=kept[-1].end))
    return pruned


def _doubtful_runs(heard: Sequence[Utterance], doubts: Doubts) -> list[tuple[str, list[Word]]]:
    """Return the doubtful words that follow each other in one utterance for one reason."""
    places = [number for number, utterance in enumerate(heard) for _ in utterance.words]
    marked = [(doubts.get(index), places[index], word) for index, word in enumerate(_words(heard))]
    runs = groupby(marked, key=lambda item: item[:2])
    return [(reason, [word for *_, word in run]) for (reason, _), run in runs if reason is not None]


def _lost(runs: Iterable[tuple[str, list[Word]]], again: Sequence[Utterance]) -> list[RemovedSpeech]:
    """Return what of the doubtful words the second hearing did not bring back near the same place.

    A word that was said but drawn out over the silence after it comes back in its place; it was never left out.
    """
    words = _words(again)
    lost = []
    for reason, run in runs:
        near = Span(run[0].start - 1, run[-1].end + 1)
        found = Counter(word.text for word in words if word.start < near.end and word.end > near.start)
        missing = []
        for word in run:
            if found[word.text] > 0:
                found[word.text] -= 1
            else:
                missing.append(word)
        if missing:
            lost.append(_removed(missing, reason))
    return lost


def _removed(words: Sequence[Word], reason: str) -> RemovedSpeech:
    return RemovedSpeech(start=words[0].start, end=words[-1].end, text=join_words(words), reason=reason)


def _words(heard: Iterable[Utterance]) -> list[Word]:
    return [word for utterance in heard for word in utterance.words]


def _within(moment: float, spans: Sequence[Span]) -> bool:
    return any(span.start <= moment < span.end for span in spans)


def _by_start(heard: Iterable[Utterance]) -> list[Utterance]:
    return sorted(heard, key=lambda utterance: utterance.start)
