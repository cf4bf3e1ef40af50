"""Text that loops: a phrase said over and over, as a speech model does when it has lost the thread."""

from __future__ import annotations

from collections.abc import Sequence

#: Longest phrase that is looked for, in words; in a script without spaces a word is a character.
_LONGEST_PHRASE = 30

#: People say a thing twice or three times, and short words more often: a loop is this many times and words.
_FEWEST_REPEATS = 4
_FEWEST_WORDS = 12


def repeated_words(words: Sequence[str]) -> set[int]:
    """Return the indices of the words that repeat the phrase before them once too often.

    Of a loop the first time the phrase is said is not among them: that one may be true.
    """
    plain = [_plain(word) for word in words]
    found: set[int] = set()
    for length in range(1, _LONGEST_PHRASE + 1):
        for start, stop in _runs(plain, length):
            repeats = (stop - start) // length
            if repeats >= _FEWEST_REPEATS and repeats * length >= _FEWEST_WORDS:
                found.update(range(start + length, stop))
    return found


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
