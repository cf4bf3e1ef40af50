"""Merge the transcripts of a recording's channels, without repeating cross-talk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, permutations
from types import MappingProxyType

from transcription_dagster.language.spelling import letters
from transcription_dagster.model import Gap, RemovedSpeech, Segment, Transcript, Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.turn_order import order_by_turns

#: Returns the level of a channel between two times (s), in dBFS.
Level = Callable[[int, float, float], float]

#: Two equal words are simultaneous if their middles are at most this far apart, in seconds.
_SAME_MOMENT = 0.4
#: Number of consecutive equal words on two channels that cannot be a coincidence.
_NO_COINCIDENCE = 3
#: Fewer count as an echo only if they are quieter by this many dB: two people may say "yes" at the same time.
_QUIETER = 6.0
#: A segment is an echo as a whole if this share of its words is: the rest is the same speech, misheard.
_ECHO_SHARE = 0.6
#: Speech without words is no gap if this share of it has words on another channel.
_COVERED_SHARE = 0.5


def channel_label(channel: int) -> str:
    """Return Amazon Transcribe's name of a channel, counted from 0."""
    return f"ch_{channel}"


def merge_channels(transcripts: Sequence[Transcript], level: Level) -> Transcript:
    """Return the transcript of a recording from those of its channels, given in order.

    Words keep their times and get their channel as the speaker. They are in order of turns, so that times go backward
    where turns of simultaneous speakers begin. Segments are split where another channel's turn interrupts them.
    """
    echoes = _echoes(transcripts, level)
    language = _language(transcripts)
    words: list[Word] = []
    segments: list[Segment | None] = []
    for channel, transcript in enumerate(transcripts):
        of_word = {index: segment for segment in transcript.segments for index in range(segment.first, segment.stop)}
        for index, word in enumerate(transcript.words):
            if index not in echoes[channel]:
                own_language = None if transcript.language == language else transcript.language
                words.append(replace(word, speaker=channel_label(channel), language=word.language or own_language))
                segments.append(of_word.get(index))
    channels = [word.speaker or "" for word in words]
    order, _ = order_by_turns([word.text for word in words], [(word.start, word.end) for word in words], channels)
    first, *_ = transcripts
    removed = [item for transcript in transcripts for item in transcript.removed]
    removed += (item for channel in range(len(transcripts)) for item in _removed(transcripts[channel], echoes[channel]))
    return replace(
        first,
        words=_unglued([words[number] for number in order]),
        segments=_segments([words[number] for number in order], [segments[number] for number in order]),
        language=language,
        duration=max(transcript.duration for transcript in transcripts),
        options=MappingProxyType({**first.options, "channels": len(transcripts)}),
        removed=tuple(sorted(removed, key=lambda item: item.start)),
        doubtful=tuple(
            sorted((item for transcript in transcripts for item in transcript.doubtful), key=lambda item: item.start)
        ),
        gaps=tuple(sorted(_gaps(transcripts), key=lambda gap: gap.start)),
    )


def _echoes(transcripts: Sequence[Transcript], level: Level) -> list[set[int]]:
    """Return, for each channel, the indices of words that are louder on another channel."""
    echoes: list[set[int]] = [set() for _ in transcripts]
    for one, other in permutations(range(len(transcripts)), 2):
        words = transcripts[one].words
        same = _same_words(words, transcripts[other].words)
        for run in _runs(sorted(same)):
            start, end = words[run[0]].start, words[run[-1]].end
            difference = level(other, start, end) - level(one, start, end)
            # If two channels are equally loud, the first keeps the words.
            louder = difference > 0 or (difference == 0 and other < one)
            if louder and (len(run) >= _NO_COINCIDENCE or difference >= _QUIETER):
                echoes[one].update(run)
        for segment in transcripts[one].segments:
            whole = set(range(segment.first, segment.stop))
            if len(whole & echoes[one]) >= _ECHO_SHARE * len(whole):
                echoes[one] |= whole
    return echoes


def _same_words(words: Sequence[Word], others: Sequence[Word]) -> set[int]:
    """Return the words that have an equal, simultaneous word among the others."""
    same: set[int] = set()
    first = 0
    for index, word in enumerate(words):
        middle = (word.start + word.end) / 2
        while first < len(others) and others[first].end < middle - _SAME_MOMENT:
            first += 1
        text = letters(word.text)
        for other in others[first:]:
            if other.start > middle + _SAME_MOMENT:
                break
            if text and letters(other.text) == text and abs((other.start + other.end) / 2 - middle) <= _SAME_MOMENT:
                same.add(index)
                break
    return same


def _runs(numbers: Sequence[int]) -> Iterator[list[int]]:
    """Group ascending numbers into runs without gaps."""
    for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        yield [number for _, number in group]


def _removed(transcript: Transcript, echoes: set[int]) -> Iterator[RemovedSpeech]:
    for run in _runs(sorted(echoes)):
        words = transcript.words[run[0] : run[-1] + 1]
        yield RemovedSpeech(words[0].start, words[-1].end, join_words(words), "it is louder on another channel")


def _unglued(words: Sequence[Word]) -> tuple[Word, ...]:
    """Return the words, without attaching any to a word of another channel."""
    return tuple(
        replace(word, glued=False) if word.glued and (index == 0 or words[index - 1].speaker != word.speaker) else word
        for index, word in enumerate(words)
    )


def _segments(words: Sequence[Word], origins: Sequence[Segment | None]) -> tuple[Segment, ...]:
    """Return the segments of the words, with their new indices."""
    segments: list[Segment] = []
    for (_, segment), group in groupby(range(len(words)), key=lambda index: (words[index].speaker, origins[index])):
        places = list(group)
        if segment is None:
            continue
        first, stop = places[0], places[-1] + 1
        whole = stop - first == segment.stop - segment.first
        start, end = (segment.start, segment.end) if whole else (words[first].start, words[stop - 1].end)
        segments.append(replace(segment, start=start, end=end, first=first, stop=stop))
    return tuple(segments)


def _language(transcripts: Sequence[Transcript]) -> str:
    """Return the language of most words; without words, that of the first channel."""
    words = Counter[str]()
    for transcript in transcripts:
        words[transcript.language] += len(transcript.words)
    return words.most_common(1)[0][0]


def _gaps(transcripts: Sequence[Transcript]) -> Iterator[Gap]:
    """Yield the gaps of each channel, unless another channel has the words."""
    for channel, transcript in enumerate(transcripts):
        others = [word for number, each in enumerate(transcripts) if number != channel for word in each.words]
        for gap in transcript.gaps:
            covered = sum(max(0.0, min(word.end, gap.end) - max(word.start, gap.start)) for word in others)
            if covered < _COVERED_SHARE * (gap.end - gap.start):
                yield gap
