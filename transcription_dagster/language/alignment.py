"""Align two wordings of the same speech word by word; long ones are cut into parts first (`cut_parts`)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter

from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

from transcription_dagster.language.spelling import fold

#: Product of the lengths that one native call may align: at most a tenth of a second on a slow core.
_LARGEST = 100_000_000

#: Approximate words per part.
_PART_WORDS = 4_000

#: Length of the unique stretches, in words. Shorter ones may coincide by chance.
_STRETCH = 8

#: Percentage of common letters above which one wording counts as a correction of another. Unrelated English sentences
#: share about 45.
_CORRECTION = 60.0

#: Pairs of words up to which a changed stretch is matched word by word.
_MATCHED_PAIRS = 10_000

#: Words of a changed stretch compared at once.
_COMPARED_WORDS = 2_000


@dataclass(frozen=True, slots=True)
class AlignedBlock:
    """Old words [`old_first`, `old_stop`) that became new words [`new_first`, `new_stop`)."""

    same: bool
    old_first: int
    old_stop: int
    new_first: int
    new_stop: int


def align(old: Sequence[str], new: Sequence[str]) -> list[AlignedBlock]:
    """Align two wordings by the fewest changed words (Levenshtein), ignoring case and punctuation.

    The blocks cover both texts in order; equal and changed blocks alternate. Long texts are aligned part by part
    (`cut_parts`), because the search is one native call that blocks all other threads.
    """
    numbers: dict[str, int] = {}
    folded: dict[str, int] = {}

    def number(text: str) -> int:
        if text not in folded:
            folded[text] = numbers.setdefault(fold(text) or text, len(numbers))
        return folded[text]

    old_numbers, new_numbers = [number(text) for text in old], [number(text) for text in new]
    blocks: list[AlignedBlock] = []
    for part in cut_parts(old_numbers, new_numbers):
        for change in Levenshtein.opcodes(old_numbers[part.old_slice], new_numbers[part.new_slice]):
            same = change.tag == "equal"
            old_first, new_first = part.old_first + change.src_start, part.new_first + change.dest_start
            if blocks and same == blocks[-1].same:
                last = blocks.pop()
                old_first, new_first = last.old_first, last.new_first
            old_stop, new_stop = part.old_first + change.src_end, part.new_first + change.dest_end
            blocks.append(AlignedBlock(same, old_first, old_stop, new_first, new_stop))
    return blocks


def related_share(old: Sequence[str], new: Sequence[str], blocks: Sequence[AlignedBlock]) -> float:
    """Return the share, 0 to 1, of the longer wording's letters that the other keeps or plainly corrects."""
    total = max(_letters(old), _letters(new))
    if not total:
        return 1.0
    related = 0
    for block in blocks:
        # Compare long changed blocks in stretches, each short enough for one call.
        whole = Part(block.old_first, block.old_stop, block.new_first, block.new_stop)
        for part in [whole] if block.same else evenly(whole, _COMPARED_WORDS):
            before, after = old[part.old_slice], new[part.new_slice]
            if block.same or fuzz.ratio(_joined(before), _joined(after)) >= _CORRECTION:
                related += max(_letters(before), _letters(after))
    return min(1.0, related / total)


def _joined(words: Sequence[str]) -> str:
    return "".join(words).casefold()


def _letters(words: Sequence[str]) -> int:
    return sum(len(word) for word in words)


def counterparts(old: Sequence[str], new: Sequence[str]) -> list[int]:
    """Return, for each new word of a changed block, the index of its old word: one like it, else by their letters.

    `old` must not be empty. Equal numbers of words map one to one; the indices never decrease.
    """
    if len(old) == len(new):
        return list(range(len(old)))
    old_ends = list(accumulate(len(word) for word in old))
    new_ends = list(accumulate(len(word) for word in new))
    scale = old_ends[-1] / new_ends[-1] if new else 0.0
    middles = ((end - len(word) / 2) * scale for end, word in zip(new_ends, new, strict=True))
    by_letters = [min(bisect_right(old_ends, middle), len(old) - 1) for middle in middles]
    return by_letters if len(old) * len(new) > _MATCHED_PAIRS else _most_alike(old, new, by_letters)


def _most_alike(old: Sequence[str], new: Sequence[str], by_letters: Sequence[int]) -> list[int]:
    """Return the never decreasing indices whose old words are most like the new ones, near `by_letters` otherwise."""
    scores = [0.0] * len(old)
    choices: list[list[int]] = []
    for word, expected in zip(new, by_letters, strict=True):
        # The best index for the word before, up to each index for this one.
        best: list[int] = []
        for index, score in enumerate(scores):
            best.append(index if not best or score > scores[best[-1]] else best[-1])
        choices.append(best)
        scores = [
            scores[best[index]] + _likeness(old[index], word) - 0.1 * abs(index - expected) / len(old)
            for index in range(len(old))
        ]
    indices: list[int] = []
    index = max(range(len(old)), key=scores.__getitem__)
    for best in reversed(choices):
        indices.append(index)
        index = best[index]
    return indices[::-1]


def _likeness(old: str, new: str) -> float:
    """Return the share of common letters of two words; 0 if neither is a correction of the other."""
    share = fuzz.ratio(old.casefold(), new.casefold())
    return share / 100 if share >= _CORRECTION else 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """[`old_first`, `old_stop`) of one sequence, to align with [`new_first`, `new_stop`) of the other."""

    old_first: int
    old_stop: int
    new_first: int
    new_stop: int

    @property
    def old_slice(self) -> slice:
        return slice(self.old_first, self.old_stop)

    @property
    def new_slice(self) -> slice:
        return slice(self.new_first, self.new_stop)

    @property
    def size(self) -> int:
        """Return the cost of aligning it."""
        return (self.old_stop - self.old_first) * (self.new_stop - self.new_first)


def cut_parts(old: Sequence[int], new: Sequence[int]) -> list[Part]:
    """Cut two sequences into parts that cover both in order; short ones stay whole.

    Stretches of thousands of words without an anchor are cut into equal shares.
    """
    whole = Part(0, len(old), 0, len(new))
    if whole.size <= _LARGEST:
        return [whole]
    parts: list[Part] = []
    old_first = new_first = 0
    for old_cut, new_cut in _anchors(old, new):
        if max(old_cut - old_first, new_cut - new_first) >= _PART_WORDS:
            parts.append(Part(old_first, old_cut, new_first, new_cut))
            old_first, new_first = old_cut, new_cut
    parts.append(Part(old_first, len(old), new_first, len(new)))
    return [smaller for part in parts for smaller in ([part] if part.size <= _LARGEST else evenly(part, _PART_WORDS))]


def evenly(part: Part, words: int) -> Iterator[Part]:
    """Cut a part into equal shares with at most the given number of words on the longer side."""
    old_length, new_length = part.old_stop - part.old_first, part.new_stop - part.new_first
    count = max(1, -(-max(old_length, new_length) // words))
    olds = [part.old_first + old_length * number // count for number in range(count + 1)]
    news = [part.new_first + new_length * number // count for number in range(count + 1)]
    for number in range(count):
        yield Part(olds[number], olds[number + 1], news[number], news[number + 1])


def _anchors(old: Sequence[int], new: Sequence[int]) -> list[tuple[int, int]]:
    """Return cutting points inside stretches that occur once in each sequence, increasing in both."""
    places = _once(new)
    pairs = [
        (here, places[stretch]) for stretch, here in sorted(_once(old).items(), key=itemgetter(1)) if stretch in places
    ]
    middle = _STRETCH // 2
    return [
        (pairs[index][0] + middle, pairs[index][1] + middle) for index in longest_rising([there for _, there in pairs])
    ]


def _once(sequence: Sequence[int]) -> dict[tuple[int, ...], int]:
    """Return the start of each stretch of `_STRETCH` numbers that occurs exactly once."""
    places: dict[tuple[int, ...], int] = {}
    repeated: set[tuple[int, ...]] = set()
    for place, stretch in enumerate(zip(*(sequence[shift:] for shift in range(_STRETCH)), strict=False)):
        if stretch in places:
            repeated.add(stretch)
        else:
            places[stretch] = place
    for stretch in repeated:
        del places[stretch]
    return places


def longest_rising(values: Sequence[float]) -> list[int]:
    """Return the indices of the longest subsequence of values that never decreases (patience sorting)."""
    tops: list[float] = []
    top_indices: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        pile = bisect_right(tops, value)
        before.append(top_indices[pile - 1] if pile else -1)
        if pile == len(tops):
            tops.append(value)
            top_indices.append(index)
        else:
            tops[pile], top_indices[pile] = value, index
    chain: list[int] = []
    index = top_indices[-1] if top_indices else -1
    while index >= 0:
        chain.append(index)
        index = before[index]
    return chain[::-1]
