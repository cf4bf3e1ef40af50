"""Positions of pieces of audio, derived from their time stamps."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.audio.timeline import Clock, place

pytestmark = pytest.mark.slow

FRAME = 1 / 24


@dataclass(frozen=True)
class Piece:
    stamp: float | None
    seconds: float


def positions(pieces: list[Piece], clock: Clock | None = None) -> list[float]:
    """Return the start of each piece in the result, in seconds."""
    starts = []
    position = 0.0
    for correction, piece in place(pieces, clock or Clock(origin=0.0)):
        position += max(0.0, correction)
        starts.append(position)
        position += piece.seconds + min(0.0, correction)
    return starts


def run(start: float, count: int, seconds: float = 0.02, step: float | None = None) -> list[Piece]:
    return [Piece(start + number * (step or seconds), seconds) for number in range(count)]


def test_contiguous_pieces_are_unchanged():
    pieces = run(0, 500)
    assert [correction for correction, _ in place(pieces, Clock(0.0))] == [0.0] * 500


@pytest.mark.parametrize("gap", [0.05, 0.2, 3.0, 599.0])
def test_a_gap_keeps_its_exact_length(gap):
    assert positions(run(0, 100) + run(2 + gap, 100))[100] == pytest.approx(2 + gap)


@pytest.mark.parametrize("gap", [700.0, 5 * 3600.0])
def test_a_gap_of_any_length_is_kept_if_the_container_is_that_long(gap):
    pieces = run(0, 100) + run(2 + gap, 100)
    assert positions(pieces, Clock(0.0, claimed_seconds=gap + 4))[100] == pytest.approx(2 + gap)


@pytest.mark.parametrize("claimed", [None, 4.0])
def test_an_unconfirmed_long_jump_is_a_clock_change(claimed):
    pieces = run(0, 100) + run(1.7e9, 100) + run(1.7e9 + 2.5, 10)
    placed = positions(pieces, Clock(0.0, claimed))
    assert placed[100] == pytest.approx(2)
    assert placed[200] == pytest.approx(4.5)


def test_timestamps_that_restart_belong_to_a_second_recording():
    assert positions(run(0, 100) + run(0, 100), Clock(0.0, 2.0))[100] == pytest.approx(2)


@pytest.mark.parametrize("overlap", [0.06, 0.5, 0.9])
def test_sound_that_overlaps_is_cut(overlap):
    assert positions(run(0, 100) + run(2 - overlap, 200))[-1] == pytest.approx(2 - overlap + 199 * 0.02, abs=0.001)


def test_a_long_overlap_is_cut_where_the_container_keeps_time():
    assert positions(run(0, 500) + run(5, 500), Clock(0.0, 15.0))[-1] == pytest.approx(5 + 499 * 0.02, abs=0.001)


@pytest.mark.parametrize("skew", [-0.05, -0.001, 0.0001, 0.04])
def test_drifting_timestamps_are_followed_for_an_hour(skew):
    pieces = run(0, 180_000, step=0.02 * (1 + skew))
    for placed, piece in zip(positions(pieces)[::997], pieces[::997], strict=True):
        assert abs(placed - (piece.stamp or 0)) < FRAME


@given(st.lists(st.floats(-0.1, 0.1), min_size=200, max_size=300))
def test_jitter_is_ignored(jitter):
    jitter += [0.0] * 10
    pieces = [Piece(number * 0.02 + (by if number % 7 else 0), 0.02) for number, by in enumerate(jitter)]
    assert positions(pieces) == pytest.approx([number * 0.02 for number in range(len(jitter))])


def test_audio_without_timestamps_follows_the_previous_piece():
    pieces = [Piece(None, 0.5), Piece(None, 0.5), Piece(9.0, 0.5), Piece(9.5, 0.5), Piece(10.0, 0.5)]
    assert positions(pieces) == pytest.approx([0.0, 0.5, 9.0, 9.5, 10.0])
    assert positions(pieces[:2], Clock()) == pytest.approx([0.0, 0.5])
