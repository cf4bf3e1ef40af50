"""Cut two long sequences into parts that can be aligned one by one.

An alignment is one native call that holds Python's global lock and takes time proportional to the product of the
lengths: a day's words would block a worker's heartbeat. Both sequences are cut inside stretches of words that occur
exactly once in each (the idea of Bram Cohen's patience diff), so that the cuts lie on the best path.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Product of the lengths that one native call may align: at most a tenth of a second on a slow core.
_LARGEST = 100_000_000

#: Approximate words per part.
_PART_WORDS = 4_000

#: Length of the unique stretches, in words. Shorter ones may coincide by chance.
_STRETCH = 8


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
    pairs = [(here, places[stretch]) for stretch, here in sorted(_once(old).items(), key=_place) if stretch in places]
    middle = _STRETCH // 2
    return [(pairs[index][0] + middle, pairs[index][1] + middle) for index in _rising([there for _, there in pairs])]


def _place(item: tuple[tuple[int, ...], int]) -> int:
    return item[1]


def _once(sequence: Sequence[int]) -> dict[tuple[int, ...], int]:
    """Return the start of each stretch that occurs exactly once."""
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


def _rising(values: Sequence[int]) -> list[int]:
    """Return the indices of the longest increasing subsequence of distinct values (patience sorting)."""
    tops: list[int] = []
    top_indices: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        pile = bisect_left(tops, value)
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
