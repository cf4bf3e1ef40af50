"""The order of words that people speak at once: turn by turn, with sentences kept whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from transcription_dagster.model import Word
from transcription_dagster.transcripts.word_timing import TimeSpan

#: Seconds of pause that end a turn, even if the same person continues.
_TURN_PAUSE_SECONDS = 0.7
_SENTENCE_ENDS = ".?!…。？！؟।"
_CLOSING = "\"'”’»)]」』"


@dataclass(frozen=True, slots=True)
class _Turn:
    """The indices of the words of a turn, and its time in seconds."""

    words: range
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return max(self.end - self.start, 0.001)


def order_by_turns(
    texts: Sequence[str], spans: Sequence[TimeSpan], channels: Sequence[str]
) -> tuple[list[int], list[TimeSpan]]:
    """Return the indices of the words in transcript order, and their times in that order.

    The words come channel by channel, with increasing `spans` in each. Sentences stay whole. Where turns overlap so
    that their words cannot all keep their times in order, each turn gets a share of the common time by its length.
    """
    turns = sorted(_turns(texts, spans, channels), key=lambda turn: turn.start)
    order: list[int] = []
    ordered: list[TimeSpan] = []
    for cluster in _clusters(turns):
        order += [number for turn in cluster for number in turn.words]
        ordered += _times(cluster, spans)
    return order, ordered


def spread_turns(words: Sequence[Word]) -> Sequence[Word]:
    """Return words in order of turns with increasing times, as captions need them.

    In a transcript, people who talk at once keep their own times. Where these go backward from one turn to the
    next, each of the turns gets a share of their common time by its length.
    """
    if all(before.start <= after.start for before, after in pairwise(words)):
        return words
    spans = [(word.start, word.end) for word in words]
    turns = _turns([word.text for word in words], spans, [word.speaker or "" for word in words])
    times = [span for cluster in _clusters(list(turns)) for span in _times(cluster, spans)]
    return [replace(word, start=start, end=end) for word, (start, end) in zip(words, times, strict=True)]


def _turns(texts: Sequence[str], spans: Sequence[TimeSpan], channels: Sequence[str]) -> Iterator[_Turn]:
    first = 0
    for number in range(1, len(texts) + 1):
        if (
            number == len(texts)
            or channels[number] != channels[number - 1]
            or spans[number][0] - spans[number - 1][1] >= _TURN_PAUSE_SECONDS
            or texts[number - 1].rstrip(_CLOSING).endswith(tuple(_SENTENCE_ENDS))
        ):
            yield _Turn(range(first, number), spans[first][0], max(end for _, end in spans[first:number]))
            first = number


def _clusters(turns: Sequence[_Turn]) -> Iterator[list[_Turn]]:
    """Group overlapping turns, which are sorted by start."""
    cluster: list[_Turn] = []
    end = 0.0
    for turn in turns:
        if cluster and turn.start >= end:
            yield cluster
            cluster = []
        cluster.append(turn)
        end = max(end, turn.end)
    if cluster:
        yield cluster


def _times(cluster: Sequence[_Turn], spans: Sequence[TimeSpan]) -> list[TimeSpan]:
    measured = [spans[number] for turn in cluster for number in turn.words]
    starts = [start for start, _ in measured]
    if starts == sorted(starts):
        return measured
    begin, end = cluster[0].start, max(turn.end for turn in cluster)
    scale = (end - begin) / sum(turn.seconds for turn in cluster)
    placed: list[TimeSpan] = []
    for turn in cluster:
        for number in turn.words:
            start, stop = ((time - turn.start) * scale for time in spans[number])
            placed.append((round(begin + start, 3), round(begin + stop, 3)))
        begin += turn.seconds * scale
    return placed
