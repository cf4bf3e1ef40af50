"""Remove hallucinations, and nothing else.

A word is removed if two witnesses (`evidence`), one of which examined the audio, say that it was not spoken. If there
is only that one, or only the model doubts its text, the place is transcribed again without the preceding text: words
that do not come again are removed; the others stay and are marked as doubtful. A repetitive text stays if each
repetition has its own stretch of speech; otherwise the place is transcribed again, and the result replaces the text
only if it is better.

A decoding loop is a phrase that the model repeats over and over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from transcription_dagster.language.alignment import align
from transcription_dagster.model import DoubtfulSpeech, RemovedSpeech, Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.whisper.decoding.loop import MAX_COMPRESSION_RATIO, MAX_TRUSTED_TEMPERATURE
from transcription_dagster.whisper.repair.evidence import (
    Witness,
    doubts_itself,
    has_acoustic_evidence,
    is_hallucinated,
    is_silence,
    is_suspect,
    witnesses,
)
from transcription_dagster.whisper.spans import Span, merged
from transcription_dagster.whisper.utterances import Utterance, middle_of, with_words, words_of
from transcription_dagster.whisper.voice_activity import Sound

NO_SPEECH_HERE = "no speech here"
NOT_REPEATED = "a second pass does not repeat it"
LOOPS = "the text repeats itself"

#: Seconds of audio around a doubtful place that are transcribed with it.
_AROUND = 1.0
#: Largest distance (s) between the starts of a word in both passes; a hallucinated word can be placed anywhere.
_SAME_PLACE = 1.0
#: A shorter silence (s) is part of speech: word times are too inexact to judge words in it.
_LONG_SILENCE = 2.0

#: Transcribes the given spans again, without the preceding text. Second argument: whether to try all temperatures.
TranscribeAgain = Callable[[Sequence[Span], bool], list[Utterance]]

#: The witnesses against each word, for all utterances in order.
Evidence = list[frozenset[Witness]]

#: Longest phrase to look for, in words; in a script without spaces a character counts as a word.
_LONGEST_PHRASE = 30

#: People repeat a phrase two or three times, and short phrases more often: a loop has at least this many repetitions
#: and words.
_MIN_REPEATS = 4
_MIN_WORDS = 12


@dataclass(frozen=True, slots=True)
class CheckedSpeech:
    """The words that are kept, and the findings against words."""

    kept: list[Utterance]
    removed: list[RemovedSpeech]
    doubtful: list[DoubtfulSpeech]


def without_hallucinations(
    utterances: list[Utterance], sound: Sound, transcribe_again: TranscribeAgain
) -> CheckedSpeech:
    """Check the utterances against `sound`; words without evidence against them stay unchanged."""
    utterances, replaced = _without_loops(utterances, sound, transcribe_again)
    against = witnesses(utterances, sound)
    suspects = _in_long_silences(utterances, [is_suspect(each) for each in against])
    if not replaced and not any(suspects):
        return CheckedSpeech(utterances, [], [])
    uncertain = _runs(
        utterances, [suspect and not is_hallucinated(each) for suspect, each in zip(suspects, against, strict=True)]
    )
    if uncertain:
        places = [run.span.widened(_AROUND, limit=sound.seconds) for run in uncertain]
        again = transcribe_again(merged(places, gap=0.01), False)
        for run in uncertain:
            for index, witness in _not_repeated(run, again):
                against[index] |= {witness}
    hallucinated = _in_long_silences(utterances, [is_hallucinated(each) for each in against])
    removed = [_removed(run, against) for run in _runs(utterances, hallucinated)]
    kept_suspects = [suspect and not removal for suspect, removal in zip(suspects, hallucinated, strict=True)]
    doubtful = [
        DoubtfulSpeech(run.span.start, run.span.end, run.text, _names_of_witnesses(against, run))
        for run in _runs(utterances, kept_suspects)
    ]
    return CheckedSpeech(
        _pruned(utterances, hallucinated), sorted(removed + replaced, key=lambda item: item.start), doubtful
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive words of one utterance; `first` is the index of the first one among all words."""

    first: int
    words: tuple[Word, ...]

    @property
    def span(self) -> Span:
        return Span(self.words[0].start, self.words[-1].end)

    @property
    def indices(self) -> range:
        """Return the indices of its words among all words."""
        return range(self.first, self.first + len(self.words))

    @property
    def text(self) -> str:
        return join_words(self.words)


def _runs(utterances: Sequence[Utterance], flags: Sequence[bool]) -> list[_Run]:
    """Return the runs of flagged words, each within one utterance."""
    runs: list[_Run] = []
    first = 0
    for utterance in utterances:
        indices = range(first, first + len(utterance.words))
        first = indices.stop
        for is_flagged, group in groupby(zip(indices, utterance.words, strict=True), key=lambda item: flags[item[0]]):
            if is_flagged:
                places, words = zip(*group, strict=True)
                runs.append(_Run(places[0], words))
    return runs


def _removed(run: _Run, against: Evidence) -> RemovedSpeech:
    silent = any(has_acoustic_evidence(against[index]) for index in run.indices)
    reason = NO_SPEECH_HERE if silent else NOT_REPEATED
    return RemovedSpeech(run.span.start, run.span.end, run.text, reason, _names_of_witnesses(against, run))


def _names_of_witnesses(against: Evidence, run: _Run) -> tuple[str, ...]:
    return tuple(sorted({str(witness) for index in run.indices for witness in against[index]}))


def _not_repeated(run: _Run, again: Sequence[Utterance]) -> Iterator[tuple[int, Witness]]:
    """Yield the indices of words that a second pass does not repeat near their place, aligned word by word.

    Each comes with its witness: HEARING if the second pass has other words there; MODEL if it rates the place as
    silence and repeats less than half of the words, which may be chance. A second pass that doubts its own text for
    another reason is no witness.
    """
    place = Span(run.span.start - _AROUND, run.span.end + _AROUND)
    near = [utterance for utterance in again if utterance.start < place.end and utterance.end > place.start]
    silent = not near or any(is_silence(utterance) for utterance in near)
    if not silent and any(doubts_itself(utterance) for utterance in near):
        return
    words = words_of(near)
    repeated: set[int] = set()
    for block in align([word.text for word in run.words], [word.text for word in words]):
        for offset in range(block.old_stop - block.old_first if block.same else 0):
            first, second = run.words[block.old_first + offset], words[block.new_first + offset]
            if abs(first.start - second.start) <= _SAME_PLACE:
                repeated.add(block.old_first + offset)
    if silent and 2 * len(repeated) < len(run.words):
        repeated.clear()
    witness = Witness.MODEL if silent else Witness.HEARING
    yield from ((index, witness) for place, index in enumerate(run.indices) if place not in repeated)


def _in_long_silences(utterances: Sequence[Utterance], flags: Sequence[bool]) -> list[bool]:
    """Clear the flags of words in a short silence between unflagged words of the same utterance.

    Such words belong to the same breath as the words around them, whatever the detector says.
    """
    remaining = list(flags)
    first = 0
    for utterance in utterances:
        stop = first + len(utterance.words)
        clear = [place for place in range(first, stop) if not flags[place]]
        for before, after in pairwise(clear):
            silence = utterance.words[after - first].start - utterance.words[before - first].end
            if silence < _LONG_SILENCE:
                remaining[before:after] = [False] * (after - before)
        first = stop
    return remaining


def _pruned(utterances: Iterable[Utterance], hallucinated: Sequence[bool]) -> list[Utterance]:
    """Return the utterances without the hallucinated words."""
    pruned = []
    index = 0
    for utterance in utterances:
        kept = tuple(word for place, word in enumerate(utterance.words, index) if not hallucinated[place])
        index += len(utterance.words)
        if kept:
            pruned.append(utterance if len(kept) == len(utterance.words) else with_words(utterance, kept))
    return pruned


# --- loops


def _without_loops(
    utterances: list[Utterance], sound: Sound, transcribe_again: TranscribeAgain
) -> tuple[list[Utterance], list[RemovedSpeech]]:
    """Replace loops by a second pass where it is better."""
    places = _loop_places(utterances, sound)
    if not places:
        return utterances, []
    again = transcribe_again(places, True)
    removed = []
    for place in places:
        second = _words_at(again, place.holds)
        if second and _is_better(second):
            removed += _replaced(utterances, second, place)
            others = _words_at(utterances, lambda moment, place=place: not place.holds(moment))
            utterances = sorted([*others, *second], key=lambda utterance: utterance.start)
    return utterances, removed


def _loop_places(utterances: Sequence[Utterance], sound: Sound) -> tuple[Span, ...]:
    """Return the places where the text repeats itself but the audio does not."""
    words = words_of(utterances)
    loops = find_loops([word.text for word in words])
    spoken: set[int] = set()
    places = []
    for loop in loops:
        if was_spoken(loop, words, sound.speech):
            spoken.update(range(loop.first, loop.stop))
        else:
            places.append(Span(words[loop.first].start, words[loop.stop - 1].end))
    first = 0
    for utterance in utterances:
        indices = range(first, first + len(utterance.words))
        first = indices.stop
        if utterance.compression_ratio > MAX_COMPRESSION_RATIO and spoken.isdisjoint(indices):
            places.append(Span(utterance.start, utterance.end))
    return merged(sorted(place for place in places if place.seconds > 0), gap=0.01)


def _is_better(second: Sequence[Utterance]) -> bool:
    """Return whether a second pass may replace a loop: it trusts its own text and contains no loop."""
    return not (
        any(doubts_itself(utterance) or utterance.temperature > MAX_TRUSTED_TEMPERATURE for utterance in second)
        or find_loops([word.text for word in words_of(second)])
    )


def _replaced(utterances: Sequence[Utterance], second: Sequence[Utterance], place: Span) -> Iterator[RemovedSpeech]:
    """Yield the words of the first pass that the second one does not have, aligned word by word."""
    old = [word for word in words_of(utterances) if place.holds(middle_of(word))]
    new = words_of(second)
    for block in align([word.text for word in old], [word.text for word in new]):
        lost = old[block.old_first : block.old_stop]
        if not block.same and lost:
            instead = join_words(new[block.new_first : block.new_stop])
            yield RemovedSpeech(lost[0].start, lost[-1].end, join_words(lost), LOOPS, (Witness.HEARING,), instead)


def _words_at(utterances: Iterable[Utterance], is_wanted: Callable[[float], bool]) -> list[Utterance]:
    """Return the utterances reduced to the words whose middle is at a wanted moment."""
    reduced = []
    for utterance in utterances:
        words = tuple(word for word in utterance.words if is_wanted(middle_of(word)))
        if words:
            reduced.append(utterance if len(words) == len(utterance.words) else with_words(utterance, words))
    return reduced


@dataclass(frozen=True, slots=True)
class Loop:
    """The words [`first`, `stop`), which repeat a phrase of `length` words."""

    first: int
    stop: int
    length: int

    def repetitions(self) -> Iterator[range]:
        """Yield the words of each repetition; the last one may be incomplete."""
        for start in range(self.first, self.stop, self.length):
            yield range(start, min(start + self.length, self.stop))

    @property
    def repeats(self) -> range:
        """Return the words except the first occurrence of the phrase."""
        return range(self.first + self.length, self.stop)


def find_loops(words: Sequence[str]) -> list[Loop]:
    """Return the loops in order, without overlap; of two readings, the one with fewer words."""
    plain = [_plain(word) for word in words]
    accepted: list[Loop] = []
    for length in range(1, _LONGEST_PHRASE + 1):
        for start, stop in _repeating_stretches(plain, length):
            repeats = (stop - start) // length
            if repeats < _MIN_REPEATS or repeats * length < _MIN_WORDS:
                continue
            if all(stop <= loop.first or start >= loop.stop for loop in accepted):
                accepted.append(Loop(start, stop, length))
    return sorted(accepted, key=lambda loop: loop.first)


def was_spoken(loop: Loop, words: Sequence[Word], speech: Sequence[Span]) -> bool:
    """Return whether each repetition has its own stretch of speech, as in counting, chanting or insisting.

    The text alone does not tell speech from a decoding loop, but a loop places its words anywhere: several repetitions
    in one breath, or none in the next one.
    """
    middles = [(span.start + span.end) / 2 for span in speech]
    for repetition in loop.repetitions():
        start, end = words[repetition[0]].start, words[repetition[-1]].end
        if not any(start <= middle <= end for middle in middles):
            return False
    return True


def _repeating_stretches(words: Sequence[str], length: int) -> list[tuple[int, int]]:
    """Return the longest stretches in which every word equals the one `length` words before it."""
    runs = []
    start = 0
    for index in range(length, len(words) + 1):
        if index == len(words) or words[index] != words[index - length]:
            if index - start > length:
                runs.append((start, index))
            start = index - length + 1
    return runs


def _plain(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum()) or word
