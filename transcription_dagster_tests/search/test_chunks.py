"""Chunks for embeddings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.model import Cue
from transcription_dagster.search.chunks import Chunk, make_chunks


def count_words(texts: list[str]) -> list[int]:
    """Count each word as a token."""
    return [len(text.split()) for text in texts]


def cues(*texts: str) -> list[Cue]:
    """Return cues of one second each, in two lines if there is a bar."""
    return [Cue(1000 * n, 1000 * n + 900, tuple(text.split("|"))) for n, text in enumerate(texts)]


def test_cues_are_grouped_up_to_the_limit() -> None:
    assert make_chunks(cues("a b", "c d", "e f"), count_words, 4, 0) == [
        Chunk("a b c d", 0.0, 1.9),
        Chunk("e f", 2.0, 2.9),
    ]


def test_chunks_overlap_by_whole_cues() -> None:
    chunks = make_chunks(cues("a b", "c", "d", "e f", "g"), count_words, 5, 2)
    assert [chunk.text for chunk in chunks] == ["a b c d", "c d e f g"]
    assert chunks[1].start == 1.0


def test_a_chunk_ends_with_a_sentence_where_it_is_full_enough() -> None:
    chunks = make_chunks(cues("a b", "c end.", "e f", "g h"), count_words, 6, 0)
    assert [chunk.text for chunk in chunks] == ["a b c end.", "e f g h"]
    chunks = make_chunks(cues("a end.", "b c", "d e", "f g"), count_words, 6, 0)
    assert [chunk.text for chunk in chunks] == ["a end. b c d e", "f g"]


def test_lines_become_one_text() -> None:
    assert make_chunks(cues("a|b"), count_words, 5, 0) == [Chunk("a b", 0.0, 0.9)]


def test_a_cue_that_is_too_long_is_divided_with_its_time() -> None:
    chunks = make_chunks([Cue(0, 8000, ("a b c d", "e f g h"))], count_words, 3, 0)
    assert chunks == [
        Chunk("a b", 0.0, 2.0),
        Chunk("c d", 2.0, 4.0),
        Chunk("e f", 4.0, 6.0),
        Chunk("g h", 6.0, 8.0),
    ]


def test_a_single_word_is_never_divided() -> None:
    assert [chunk.text for chunk in make_chunks(cues("word"), lambda texts: [99] * len(texts), 10, 5)] == ["word"]


def test_no_cues_give_no_chunks() -> None:
    assert make_chunks([], count_words, 10, 2) == []
    assert make_chunks([Cue(0, 1, ())], count_words, 10, 2) == []


@pytest.mark.parametrize("overlap", [-1, 10, 11])
def test_an_overlap_that_leaves_no_room_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        make_chunks(cues("a"), count_words, 10, overlap)


@given(st.lists(st.integers(1, 15), max_size=30), st.integers(1, 40), st.integers(0, 39))
def test_chunks_hold_every_word_fit_and_go_forward(lengths: list[int], max_tokens: int, overlap: int) -> None:
    overlap = min(overlap, max_tokens - 1)
    numbers = iter(range(sum(lengths)))
    spoken = cues(*(" ".join(f"{next(numbers)}." for _ in range(length)) for length in lengths))
    chunks = make_chunks(spoken, count_words, max_tokens, overlap)
    following = 0
    for chunk in chunks:
        chunk_numbers = [int(word.rstrip(".")) for word in chunk.text.split()]
        assert chunk_numbers == list(range(chunk_numbers[0], chunk_numbers[-1] + 1))
        assert len(chunk_numbers) <= max_tokens
        assert following - overlap <= chunk_numbers[0] <= following <= chunk_numbers[-1]
        assert chunk.start < chunk.end
        following = chunk_numbers[-1] + 1
    assert following == sum(lengths)


def turn(speaker: str, start: int, stop: int) -> list[Cue]:
    """Return a cue of two words for each second."""
    return [Cue(1000 * second, 1000 * second + 1000, ("a b",), speakers=(speaker,)) for second in range(start, stop)]


def test_no_chunk_holds_a_part_of_a_long_turn_with_another_turn() -> None:
    chunks = make_chunks([*turn("Ada", 0, 20), *turn("Ben", 20, 23), *turn("Ada", 23, 25)], count_words, 30, 6)
    assert [(chunk.speakers, chunk.start, chunk.end) for chunk in chunks] == [
        (("Ada",), 0.0, 15.0),
        (("Ada",), 12.0, 20.0),
        (("Ben", "Ada"), 20.0, 25.0),
    ]


def test_a_chunk_after_a_long_turn_begins_with_its_own_speaker() -> None:
    chunks = make_chunks([*turn("Ada", 0, 15), *turn("Ben", 15, 18), *turn("Ada", 18, 33)], count_words, 96, 16)
    assert [(chunk.speakers, chunk.start, chunk.end) for chunk in chunks] == [
        (("Ada",), 0.0, 15.0),
        (("Ben",), 15.0, 18.0),
        (("Ada",), 18.0, 33.0),
    ]


def test_short_turns_share_a_chunk_and_all_their_speakers_are_named() -> None:
    shared = Cue(4000, 5000, ("- a", "- b"), speakers=("Ada", "Ben"))
    (chunk,) = make_chunks([*turn("Ben", 0, 2), *turn("Ada", 2, 4), shared], count_words, 96, 16)
    assert chunk.speakers == ("Ben", "Ada")
