"""Compare a new wording with an old one made of units, each of which is replaced as a whole."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from transcription_dagster.language.alignment import AlignedBlock, align
from transcription_dagster.language.tokenization import Token


@dataclass(frozen=True, slots=True)
class Rewording:
    """Units `first` up to `stop`, whose wording became the new tokens `new_first` up to `new_stop`."""

    first: int
    stop: int
    new_first: int
    new_stop: int


@dataclass(frozen=True, slots=True)
class Differences:
    """All differing places in order, without overlap; all other tokens correspond one to one."""

    places: tuple[Rewording, ...]
    #: For each unit, the index of its first old token; then the number of old tokens.
    unit_starts: tuple[int, ...]

    def unit_of(self, new_token: int) -> int:
        """Return the unit of a new token; in a differing place, its first unit."""
        shift = 0
        before = bisect_right(self.places, new_token, key=lambda place: place.new_first)
        if before:
            place = self.places[before - 1]
            if new_token < place.new_stop:
                return place.first
            shift = self.unit_starts[place.stop] - place.new_stop
        return min(bisect_right(self.unit_starts, new_token + shift) - 1, len(self.unit_starts) - 2)


def token_differences(units: Sequence[Sequence[Token]], new: Sequence[Token]) -> Differences:
    """Compare the units' tokens with `new`, exactly: case and punctuation count as differences.

    A space between two tokens alone does not. An addition belongs to the unit before it, or to the first unit.
    """
    old = [token for unit in units for token in unit]
    owners = [number for number, unit in enumerate(units) for _ in unit]
    starts = tuple(accumulate((len(unit) for unit in units), initial=0))
    if not old:
        everything = (Rewording(0, len(units), 0, len(new)),)
        return Differences(everything if units and new else (), starts)
    blocks = align([token.text for token in old], [token.text for token in new])
    regions = [region for block in blocks for region in _regions(block, old, new)]
    places: list[Rewording] = []
    shift = 0
    for first, stop, delta in _by_unit(regions, owners, len(old)):
        new_first = starts[first] + shift
        shift += delta
        places.append(Rewording(first, stop, new_first, starts[stop] + shift))
    return Differences(tuple(places), starts)


def _regions(block: AlignedBlock, old: Sequence[Token], new: Sequence[Token]) -> Iterator[AlignedBlock]:
    """Yield the parts of a block whose tokens differ."""
    if not block.same:
        yield block
        return
    for number in range(block.old_stop - block.old_first):
        old_index, new_index = block.old_first + number, block.new_first + number
        if old[old_index].text != new[new_index].text:
            yield AlignedBlock(False, old_index, old_index + 1, new_index, new_index + 1)


def _by_unit(regions: Sequence[AlignedBlock], owners: Sequence[int], count: int) -> list[tuple[int, int, int]]:
    """Return the units `first` up to `stop` that each group of regions touches, and how many tokens they gain."""
    touched: list[tuple[int, int, int]] = []
    for region in regions:
        low, high = region.old_first, region.old_stop
        if low == high:
            # An addition belongs to the token before it.
            low = max(0, low - 1)
            high = low + 1
        first, stop = owners[low], owners[min(high, count) - 1] + 1
        delta = (region.new_stop - region.new_first) - (region.old_stop - region.old_first)
        if touched and first < touched[-1][1]:
            before = touched.pop()
            first, stop, delta = before[0], max(stop, before[1]), delta + before[2]
        touched.append((first, stop, delta))
    return touched
