"""From windows to turns."""

from __future__ import annotations

import numpy as np
import pytest

from transcription_dagster.model import SpeakerTurn
from transcription_dagster.speakers.segmentation import FRAME_SECONDS, FRAME_STEP
from transcription_dagster.speakers.turns import reassigned_by_voice, speaker_turns, talking
from transcription_dagster.speakers.voices import VoiceStretch

#: Four frames.
STEP = 4 * FRAME_STEP


def windows(*rows: tuple[str, ...]) -> np.ndarray:
    """Return windows of three local speakers, each given as a text with `x` where they talk."""
    return np.array([[[mark == "x" for mark in local] for local in row] for row in rows]).transpose(0, 2, 1)


def shown(talks: np.ndarray) -> list[str]:
    return ["".join("x" if on else "." for on in column) for column in talks.T]


def test_local_speakers_of_different_windows_are_joined() -> None:
    active = windows(("xxxx....", "....xxxx", "........"), ("xxxx....", "....xxxx", "........"))
    speakers = np.array([[0, 1, -1], [1, 0, -1]])
    assert shown(talking(active, speakers, step=STEP)) == ["xxxx....xxxx", "....xxxx...."]


def test_a_speaker_talks_if_half_of_the_windows_detect_them() -> None:
    talk, silence = ("xxxx", "....", "...."), ("....", "....", "....")
    speakers = np.array([[0, -1, -1]] * 3)
    assert shown(talking(windows(talk, talk, silence), speakers, step=0)) == ["xxxx"]
    assert shown(talking(windows(talk, silence, silence), speakers, step=0)) == ["...."]


def test_two_speakers_can_talk_at_once() -> None:
    overlap = ("xxxx", ".xx.", "....")
    speakers = np.array([[0, 1, -1]] * 2)
    assert shown(talking(windows(overlap, overlap), speakers, step=0)) == ["xxxx", ".xx."]


def test_an_unknown_voice_counts_for_no_speaker() -> None:
    active = windows(("xx..", "..xx", "...."))
    assert shown(talking(active, np.array([[0, -1, -1]]), step=STEP)) == ["xx.."]


def test_no_windows_give_no_turns() -> None:
    talks = talking(np.zeros((0, 8, 3), bool), np.zeros((0, 3), int), step=STEP)
    assert speaker_turns(talks, 0.0) == ((), [])


def test_turns_are_in_order_and_labelled_by_first_appearance() -> None:
    talks = np.zeros((20, 2), bool)
    talks[10:20, 0] = talks[2:12, 1] = True
    turns, order = speaker_turns(talks, 0.3)
    begin = (495 - 135) / 16_000
    assert turns == (
        SpeakerTurn(round(begin + 2 * FRAME_SECONDS, 3), round(begin + 12 * FRAME_SECONDS, 3), "spk_0"),
        # The recording ends within the last frame.
        SpeakerTurn(round(begin + 10 * FRAME_SECONDS, 3), 0.3, "spk_1"),
    )
    assert order == [1, 0]


def test_a_moment_too_short_for_a_word_is_not_a_turn() -> None:
    talks = np.zeros((40, 1), bool)
    talks[3:8] = talks[20:26] = True
    (turn,), order = speaker_turns(talks, 9.0)
    assert (turn.start, order) == (pytest.approx(20 * FRAME_SECONDS + 0.0225, abs=0.001), [0])


CENTRES = np.eye(2)


def corrected(talks: list[str], first: int, stop: int, vector: tuple[float, float]) -> list[str]:
    before = np.array([[mark == "x" for mark in column] for column in talks]).T
    after = reassigned_by_voice(before, [VoiceStretch(first, stop, np.array(vector))], CENTRES)
    assert shown(before) == talks
    return shown(after)


def test_a_stretch_that_sounds_like_another_speaker_is_reassigned() -> None:
    assert corrected(["xxxx.xxxx", "........."], 5, 9, (0.3, 0.8)) == ["xxxx.....", ".....xxxx"]


def test_a_stretch_only_slightly_like_another_speaker_is_kept() -> None:
    assert corrected(["xxxx.xxxx", "........."], 5, 9, (0.5, 0.6)) == ["xxxx.xxxx", "........."]


def test_overlapped_speech_is_not_reassigned() -> None:
    assert corrected(["xxxx", "..xx"], 0, 4, (0.1, 0.9)) == ["..xx", "xxxx"]
    assert corrected(["xxxx", "xxxx"], 0, 4, (0.1, 0.9)) == ["xxxx", "xxxx"]


def test_a_stretch_without_a_speaker_stays_without_one() -> None:
    assert corrected(["....", "...."], 0, 4, (0.1, 0.9)) == ["....", "...."]
