"""Find decoding loops: phrases repeated over and over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transcription_dagster.model import Word
from transcription_dagster.whisper.spans import Span

#: Longest phrase to look for, in words; in a script without spaces a character counts as a word.
_LONGEST_PHRASE = 30

#: People repeat a phrase two or three times, and short phrases more often: a loop has at least this many repetitions
#: and words.
_FEWEST_REPEATS = 4
_FEWEST_WORDS = 12


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
        """All words except the first occurrence of the phrase."""
        return range(self.first + self.length, self.stop)


def find_loops(words: Sequence[str]) -> list[Loop]:
    """Return the loops in order, without overlap; of two readings, the one with fewer words."""
    plain = [_plain(word) for word in words]
    found: list[Loop] = []
    for length in range(1, _LONGEST_PHRASE + 1):
        for start, stop in _runs(plain, length):
            repeats = (stop - start) // length
            if repeats < _FEWEST_REPEATS or repeats * length < _FEWEST_WORDS:
                continue
            if all(stop <= loop.first or start >= loop.stop for loop in found):
                found.append(Loop(start, stop, length))
    return sorted(found, key=lambda loop: loop.first)


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


def _runs(words: Sequence[str], length: int) -> list[tuple[int, int]]:
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
