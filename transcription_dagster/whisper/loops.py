"""Find decoding loops: a phrase repeated over and over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transcription_dagster.model import Word
from transcription_dagster.whisper.spans import Span

#: Longest phrase to look for, in words; in a script without spaces a word is a character.
_LONGEST_PHRASE = 30

#: People say a thing twice or three times, and short words more often: a loop is this many times and words.
_FEWEST_REPEATS = 4
_FEWEST_WORDS = 12


@dataclass(frozen=True, slots=True)
class Loop:
    """The words [`first`, `stop`), which repeat a phrase of `length` words."""

    first: int
    stop: int
    length: int

    def repetitions(self) -> Iterator[range]:
        """Yield the words of each time the phrase is said; the last one may break off."""
        for start in range(self.first, self.stop, self.length):
            yield range(start, min(start + self.length, self.stop))

    @property
    def repeats(self) -> range:
        """All its words but those of the first time."""
        return range(self.first + self.length, self.stop)


def find_loops(words: Sequence[str]) -> list[Loop]:
    """Return where a phrase is repeated once too often, in order and apart; of two readings that with fewer words."""
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

    Text alone cannot tell this from a model that goes in circles, but such a model puts its words anywhere: several
    repetitions into one breath, or none where the next breath is.
    """
    middles = [(span.start + span.end) / 2 for span in speech]
    for repetition in loop.repetitions():
        start, end = words[repetition[0]].start, words[repetition[-1]].end
        if not any(start <= middle <= end for middle in middles):
            return False
    return True


def _runs(words: Sequence[str], length: int) -> list[tuple[int, int]]:
    """Return the longest stretches in which every word equals the one `length` before it."""
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
