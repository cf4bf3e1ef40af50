"""Alignment of two wordings; long ones are aligned in parts, with the same result as in one piece."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from transcription_dagster.language import alignment
from transcription_dagster.language.alignment import (
    AlignedBlock,
    Part,
    align,
    counterparts,
    cut_parts,
    related_share,
)
from transcription_dagster_tests.captions.speech import spoken_text

texts = st.lists(spoken_text, max_size=30)


def share(old: str, new: str) -> float:
    """Return how related two texts are."""
    return related_share(old.split(), new.split(), align(old.split(), new.split()))


@given(texts, texts)
def test_blocks_cover_both_in_order_and_alternate(old: list[str], new: list[str]) -> None:
    old_stop = new_stop = 0
    same = None
    for block in align(old, new):
        assert (block.old_first, block.new_first) == (old_stop, new_stop)
        assert block.same != same
        old_stop, new_stop, same = block.old_stop, block.new_stop, block.same
        if same:
            assert block.old_stop - block.old_first == block.new_stop - block.new_first
    assert (old_stop, new_stop) == (len(old), len(new))


def test_words_are_equal_despite_case_and_punctuation() -> None:
    assert align(["hello", "WORLD"], ["Hello,", "world!"]) == [AlignedBlock(True, 0, 2, 0, 2)]


def test_words_of_only_punctuation_are_compared_exactly() -> None:
    assert align(["—"], ["…"]) == [AlignedBlock(False, 0, 1, 0, 1)]


def test_neighbouring_changes_are_one_block() -> None:
    assert align(["a", "b", "c", "d"], ["a", "x", "y", "z", "d"]) == [
        AlignedBlock(True, 0, 1, 0, 1),
        AlignedBlock(False, 1, 3, 1, 4),
        AlignedBlock(True, 3, 4, 4, 5),
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("the ferry leaves", "the ferry leaves", 1.0),
        ("the ferry leaves", "the fairy leafs", 1.0),
        ("helo wrld", "Hello, world!", 1.0),
        ("", "", 1.0),
        ("the ferry leaves", "", 0.0),
        ("", "the ferry leaves", 0.0),
        ("ferry harbour evening", "quinces and mangos", 0.0),
    ],
)
def test_corrections_are_related_and_other_texts_are_not(old: str, new: str, expected: float) -> None:
    assert share(old, new) == pytest.approx(expected, abs=0.15)


def test_equally_many_words_are_matched_one_by_one() -> None:
    assert counterparts(["a", "bbbbbbbb", "c"], ["dddddddd", "e", "f"]) == [0, 1, 2]


def test_unequally_many_words_are_matched_by_letters() -> None:
    assert counterparts(["north", "haven"], ["Northhaven"]) == [1]
    assert counterparts(["northhaven"], ["North", "Haven"]) == [0, 0]
    assert counterparts(["a", "lengthy"], ["a", "much", "lengthier"]) == [0, 1, 1]
    assert counterparts(["inn.", "MAN:"], ["in."]) == [0]
    assert counterparts(["to", "bee", "or"], ["be"]) == [1]


@given(st.lists(spoken_text, min_size=1), st.lists(spoken_text))
def test_counterparts_exist_and_never_go_backward(old: list[str], new: list[str]) -> None:
    places = counterparts(old, new)
    assert places == sorted(places)
    assert all(0 <= place < len(old) for place in places)


#: Parts small enough to be tested on short texts.
SMALL = {"_LARGEST": 40_000, "_PART_WORDS": 60}


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SMALL.items():
        monkeypatch.setattr(alignment, name, value)


def words(count: int, seed: int, vocabulary: int = 500) -> list[str]:
    chance = random.Random(seed)
    return [f"w{int(chance.paretovariate(0.7)) % vocabulary}" for _ in range(count)]


def changed(old: list[str], seed: int, rate: float) -> list[str]:
    """Return the words with some replaced, added and removed."""
    chance = random.Random(seed)
    new: list[str] = []
    for word in old:
        kind = chance.choices(["keep", "change", "add", "drop"], [1 - rate, rate / 2, rate / 4, rate / 4])[0]
        new += [word] if kind in ("keep", "add") else []
        new += [f"n{chance.randrange(10**6)}"] if kind in ("change", "add") else []
    return new


def edits(blocks: list[alignment.AlignedBlock]) -> int:
    return sum(
        max(block.old_stop - block.old_first, block.new_stop - block.new_first) for block in blocks if not block.same
    )


@given(st.lists(st.integers(0, 3), max_size=200), st.lists(st.integers(0, 3), max_size=200))
def test_parts_cover_both_in_order(old: list[int], new: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"_LARGEST": 100, "_PART_WORDS": 5, "_STRETCH": 3}.items():
            patch.setattr(alignment, name, value)
        parts = cut_parts(old, new)
    stops = (0, 0)
    for part in parts:
        assert (part.old_first, part.new_first) == stops
        stops = (part.old_stop, part.new_stop)
        assert part.size <= 100
    assert stops == (len(old), len(new))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("rate", [0.02, 0.1, 0.2])
def test_as_few_words_are_changed_as_in_an_alignment_at_once(small_parts: None, seed: int, rate: float) -> None:
    old = words(600, seed)
    new = changed(old, seed, rate)
    blocks = align(old, new)
    assert len(cut_parts([hash(word) for word in old], [hash(word) for word in new])) > 3
    assert edits(blocks) == Levenshtein.distance(old, new)
    for block in blocks:
        if block.same:
            assert old[block.old_first : block.old_stop] == new[block.new_first : block.new_stop]
    assert [block.same for block in blocks] == [number % 2 == (not blocks[0].same) for number in range(len(blocks))]


def test_an_hour_of_speech_is_still_aligned_at_once() -> None:
    assert cut_parts(range(10_000), range(10_000)) == [Part(0, 10_000, 0, 10_000)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(words(60_000, 1), changed(words(60_000, 1), 2, 0.05), id="related"),
        pytest.param(words(60_000, 1), [f"other{number}" for number in range(50_000)], id="unrelated"),
        pytest.param(["yes"] * 60_000, ["yes"] * 50_000, id="one word"),
        pytest.param(words(60_000, 1), words(60_000, 1)[:20_000] + words(60_000, 1)[55_000:], id="a part is gone"),
    ],
)
def test_no_native_call_is_long(old: list[str], new: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A call holds the interpreter, and with it the worker's heartbeat, for a time that grows with this product."""
    sizes: list[int] = []

    class Counting:
        @staticmethod
        def opcodes(old_part: list[int], new_part: list[int]) -> Any:
            sizes.append(len(old_part) * len(new_part))
            return Levenshtein.opcodes(old_part, new_part)

    real_ratio = alignment.fuzz.ratio

    def ratio(before: str, after: str) -> float:
        sizes.append(len(before) * len(after))
        return real_ratio(before, after)

    monkeypatch.setattr(alignment, "Levenshtein", Counting)
    monkeypatch.setattr(alignment.fuzz, "ratio", ratio)
    blocks = align(old, new)
    assert 0 <= related_share(old, new, blocks) <= 1
    assert (blocks[-1].old_stop, blocks[-1].new_stop) == (len(old), len(new))
    assert max(sizes) <= 4 * 10**8
