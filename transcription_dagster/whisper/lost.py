"""Recover lost speech: speech without words near it is transcribed again, and marked as a gap if it stays empty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from transcription_dagster.language.spelling import fold
from transcription_dagster.model import Gap, RemovedSpeech, Word
from transcription_dagster.whisper.edges import with_settled_edges
from transcription_dagster.whisper.evidence import doubts_itself, is_anomalous
from transcription_dagster.whisper.loops import find_loops
from transcription_dagster.whisper.sound import Sound
from transcription_dagster.whisper.spans import Span, common, merged, without
from transcription_dagster.whisper.utterances import Utterance, with_words

#: Seconds of speech without a word that count as lost; less is a breath, a filler or an error of word times.
_LEAST_SECONDS = 1.0
#: Near removed text this much is enough, and this is how near, both in seconds.
_LEAST_DISPLACED_SECONDS = 0.4
_DISPLACED_SECONDS = 2.0
#: A word accounts for speech this near to it, in seconds.
_NEAR_SECONDS = 0.3
#: A long word accounts only for this much (s) after its start and before its end.
_WORD_SECONDS = 1.0
#: Pauses shorter than this belong to the speech around them.
_PAUSE_SECONDS = 0.5
#: Breaths in which nothing was heard are heard again together up to this length (s), and up to a longer one if there
#: would be more parts than one for so many seconds of sound, or than so many.
_BREATHS_SECONDS = 2.0
_SECONDS_FOR_A_PART = 10.0
_FEWEST_PARTS = 10
#: Seconds of sound around speech that are transcribed with it.
_AROUND_SECONDS = 0.3
#: Seconds that the words of lost speech may extend beyond it.
_EDGE_SECONDS = 0.5
#: Misplaced words are this close (s) to where they were spoken, and at least this many of them are this short (s).
_MISPLACED_SECONDS = 5.0
_SQUEEZED_SECONDS = 0.04
_FEWEST_SQUEEZED = 3
#: Share of a second hearing's words that must repeat misplaced ones to discard it.
_REPEATED = 2 / 3

#: Hears only the given spans, without the text before them.
HearAgain = Callable[[Sequence[Span]], list[Utterance]]


def with_lost_speech(
    heard: list[Utterance], sound: Sound, hear_again: HearAgain, removed: Sequence[RemovedSpeech] = ()
) -> tuple[list[Utterance], list[Gap]]:
    """Return what was `heard` with the lost speech of a stretch of `sound` added, and the remaining gaps.

    Near text that was `removed` less speech is enough: its words may have been said there and put in the wrong place.
    What stays without a word is heard once more, breath by breath: of what is said over and over in one window the
    model writes down only the first time.
    """
    near = merged(sorted(_widened(item, _DISPLACED_SECONDS, sound.seconds) for item in removed), gap=0.0)
    certain = unheard(_words(heard), sound)
    spans = unheard(_words(heard), sound, _LEAST_DISPLACED_SECONDS) if near else certain
    lost = [span for span in spans if span in certain or common(span, near)]
    whole = merged([_widened(span, _AROUND_SECONDS, sound.seconds) for span in lost], gap=0.01)
    heard = _with_credible(heard, lost, whole, sound, hear_again)
    breaths = _breaths(unheard(_words(heard), sound), sound)
    heard = _with_credible(heard, breaths, breaths, sound, hear_again)
    return heard, [Gap(round(span.start, 2), round(span.end, 2)) for span in unheard(_words(heard), sound)]


def _with_credible(
    heard: list[Utterance], lost: Sequence[Span], clips: Sequence[Span], sound: Sound, hear_again: HearAgain
) -> list[Utterance]:
    """Return the utterances and what a second hearing of `clips` credibly says in lost speech."""
    if not clips:
        return heard
    again = with_settled_edges(hear_again(clips), sound)
    found: list[Utterance] = []
    for span in lost:
        # A word between two lost stretches belongs to the first of them.
        known = set(_words(found))
        for utterance in _credible(again, heard, span, sound):
            words = tuple(word for word in utterance.words if word not in known)
            if words:
                found.append(with_words(utterance, words))
    return woven(heard, found)


def _breaths(spans: Sequence[Span], sound: Sound) -> list[Span]:
    """Return stretches cut in the middle of their pauses, into parts of one or more breaths; none that has no pause.

    The more there is to hear, the longer the parts: each costs as much as a window.
    """
    most = max(_FEWEST_PARTS, sound.seconds / _SECONDS_FOR_A_PART)
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


def unheard(words: Iterable[Word], sound: Sound, least: float = _LEAST_SECONDS) -> tuple[Span, ...]:
    """Return the stretches with at least `least` seconds of speech without a word near it."""
    answered = merged(sorted(_answers(words)), gap=0.0)
    left = [part for span in sound.speech for part in without(span, answered)]
    stretches = merged(left, _PAUSE_SECONDS)
    return tuple(span for span in stretches if sum(_inside(part, span) for part in left) >= least)


def _words(heard: Iterable[Utterance]) -> Iterator[Word]:
    return (word for utterance in heard for word in utterance.words)


def _answers(words: Iterable[Word]) -> Iterable[Span]:
    for word in words:
        if word.end - word.start <= 2 * _WORD_SECONDS:
            yield Span(word.start - _NEAR_SECONDS, word.end + _NEAR_SECONDS)
        else:
            yield Span(word.start - _NEAR_SECONDS, word.start + _WORD_SECONDS)
            yield Span(word.end - _WORD_SECONDS, word.end + _NEAR_SECONDS)


def _inside(part: Span, span: Span) -> float:
    return max(0.0, min(part.end, span.end) - max(part.start, span.start))


def _widened(span: Span | RemovedSpeech, seconds: float, limit: float) -> Span:
    return Span(max(0.0, span.start - seconds), min(limit, span.end + seconds))


def _credible(again: Sequence[Utterance], heard: Sequence[Utterance], span: Span, sound: Sound) -> list[Utterance]:
    """Return the words of a second hearing that belong to lost speech, if the model stands by them.

    What comes in on the second hearing's word alone has to be above doubt: sure of itself, on voiced sound, no loop.
    """
    place = _widened(span, _EDGE_SECONDS, sound.seconds)
    known = [
        word for utterance in heard for word in utterance.words if word.start < place.end and word.end > place.start
    ]
    found = []
    for utterance in again:
        words = tuple(
            word
            for word in utterance.words
            if word.start < word.end and place.holds(_middle(word)) and not _is_known(word, known)
        )
        if not words or doubts_itself(utterance) or is_anomalous(words) or find_loops([word.text for word in words]):
            continue
        if not any(span.holds(_middle(word)) for word in words) or _are_misplaced(words, heard, span):
            continue
        voiced = sum(sound.voiced(word.start, word.end) for word in words)
        if voiced >= sum(word.end - word.start for word in words) / 2:
            found.append(with_words(utterance, words))
    return found


def _is_known(word: Word, known: Sequence[Word]) -> bool:
    """Whether the first hearing has a word at that place already, or the same one beside it."""
    for other in known:
        if other.end - other.start <= 2 * _WORD_SECONDS and other.start <= _middle(word) <= other.end:
            return True
        near = word.start < other.end + _EDGE_SECONDS and word.end > other.start - _EDGE_SECONDS
        if near and fold(other.text) == fold(word.text):
            return True
    return False


def _are_misplaced(words: Sequence[Word], heard: Sequence[Utterance], span: Span) -> bool:
    """Return whether the first hearing has these words nearby, crowded into too little time for speech."""
    place = _widened(span, _MISPLACED_SECONDS, span.end + _MISPLACED_SECONDS)
    near = [word for word in _words(heard) if word.start < place.end and word.end > place.start]
    if sum(word.end - word.start <= _SQUEEZED_SECONDS for word in near) < _FEWEST_SQUEEZED:
        return False
    texts = Counter(fold(word.text) for word in words)
    repeated = (texts & Counter(fold(word.text) for word in near)).total()
    return repeated >= _REPEATED * len(words)


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2


def woven(heard: Sequence[Utterance], found: Sequence[Utterance]) -> list[Utterance]:
    """Return both in the order of their words: an utterance that others fall into is cut there."""
    parts: list[Utterance] = []
    for utterance in heard:
        cuts = sorted({other.start for other in found if utterance.start < other.start < utterance.end})
        rest = utterance.words
        for cut in cuts:
            before = tuple(word for word in rest if word.start < cut)
            parts += [with_words(utterance, before)] if before else []
            rest = rest[len(before) :]
        if len(rest) == len(utterance.words):
            parts.append(utterance)
        elif rest:
            parts.append(with_words(utterance, rest))
    return _apart(sorted([*parts, *found], key=lambda utterance: utterance.start))


def _apart(heard: list[Utterance]) -> list[Utterance]:
    """Return the utterances, the last word of each ended where the next one begins: it was drawn out over it."""
    for number, (before, after) in enumerate(pairwise(heard)):
        if before.words[-1].end > after.start:
            last = before.words[-1]
            cut = replace(last, end=max(last.start, after.start))
            heard[number] = with_words(before, (*before.words[:-1], cut))
    return heard
