"""Cutting long recordings at quiet places."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transcription_dagster.whisper.blocks import Block, blocks_of, cut_at_quiet_places, quiet_place, read_ahead
from transcription_dagster.whisper.voice_activity import analyse
from transcription_dagster_tests.corpus import RATE, noise
from transcription_dagster_tests.whisper.helpers import sound

SILENCE = np.zeros(1, np.float32)


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(0, 3 * RATE), max_size=8),
    block_seconds=st.sampled_from([0.5, 1.0, 2.0, 100.0]),
    seed=st.integers(0, 100),
)
def test_blocks_join_to_the_whole_and_keep_to_their_length(sizes, block_seconds, seed):
    samples = np.random.default_rng(seed).standard_normal(sum(sizes)).astype(np.float32)
    pieces = np.split(samples, np.cumsum(sizes)[:-1]) if sizes else []
    offsets, parts = zip(*cut_at_quiet_places(pieces, block_seconds), strict=True) if samples.size else ((), ())
    assert np.array_equal(np.concatenate([np.zeros(0, np.float32), *parts]), samples)
    assert all(0 < part.size <= block_seconds * RATE for part in parts)
    assert offsets == tuple(
        pytest.approx(sum(earlier.size for earlier in parts[:number]) / RATE) for number in range(len(parts))
    )
    assert len(parts) == (samples.size > 0) or samples.size > block_seconds * RATE


def test_a_recording_that_fits_is_one_block():
    assert len(list(cut_at_quiet_places([noise(1), noise(1)], 2.0))) == 1


@pytest.mark.parametrize("pause", [14.0, 17.3, 19.5])
def test_the_cut_is_in_the_pause_near_the_end(pause):
    samples = noise(20)
    samples[round(pause * RATE) : round((pause + 0.5) * RATE)] *= 0.01
    assert pause < quiet_place(samples) / RATE < pause + 0.5


def test_the_last_of_equally_good_pauses_is_taken():
    samples = noise(20)
    for pause in (12, 15, 18):
        samples[pause * RATE : pause * RATE + RATE // 2] = 0
    assert 18 < quiet_place(samples) / RATE < 18.5


def test_a_pause_in_the_first_half_would_make_a_block_too_short():
    samples = noise(20)
    samples[: 9 * RATE] = 0
    assert quiet_place(samples) / RATE >= 10


def test_the_blocks_of_a_file_have_their_speech_measured(recordings, tmp_path):
    path = sound(tmp_path, recordings["wav"].samples, 30, recordings["late"].samples)
    blocks = list(blocks_of(path, 20))
    assert len(blocks) >= 3
    speech = [(block.offset + span.start, block.offset + span.end) for block in blocks for span in block.sound.speech]
    assert all(end < 7.5 or start > 38 for start, end in speech)
    assert min(start for start, _ in speech) < 1
    assert max(end for _, end in speech) > 46


def test_the_next_block_is_made_while_one_is_worked_on():
    begun = [threading.Event() for _ in range(3)]

    def blocks():
        for number, event in enumerate(begun):
            event.set()
            yield Block(float(number), SILENCE, analyse(SILENCE))

    ahead = read_ahead(blocks())
    for number in range(3):
        assert next(ahead).offset == number
        assert begun[min(number + 1, 2)].wait(timeout=60)
    assert next(ahead, None) is None


def test_a_read_error_is_raised_where_the_block_is_requested():
    def blocks():
        yield Block(0.0, SILENCE, analyse(SILENCE))
        raise OSError("gone")

    ahead = read_ahead(blocks())
    next(ahead)
    with pytest.raises(OSError, match="gone"):
        next(ahead)
