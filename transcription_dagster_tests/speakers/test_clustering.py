"""Clustering of synthetic voice vectors by speaker."""

from __future__ import annotations

import numpy as np
import pytest

from transcription_dagster.model import SpeakerLimits
from transcription_dagster.speakers import clustering
from transcription_dagster.speakers.clustering import cluster

RANDOM = np.random.default_rng(1)
PEOPLE = np.linalg.qr(RANDOM.standard_normal((192, 4)))[0].T


def heard(person: int, count: int, spread: float = 0.03) -> np.ndarray:
    """Return vectors of one person's voice."""
    vectors = PEOPLE[person] + spread * RANDOM.standard_normal((count, 192))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


THREE = np.concatenate([heard(0, 20), heard(1, 20), heard(2, 20)])
LONG = np.full(60, 5.0)


def sizes(vectors: np.ndarray, seconds: np.ndarray, limits: SpeakerLimits | None = None) -> list[int]:
    speakers, centres = cluster(vectors, seconds, limits or SpeakerLimits())
    assert set(speakers) == set(range(len(centres)))
    assert np.linalg.norm(centres, axis=1) == pytest.approx(1)
    return sorted(np.bincount(speakers).tolist())


def test_each_voice_is_a_speaker() -> None:
    assert sizes(THREE, LONG) == [20, 20, 20]
    assert sizes(heard(0, 30), LONG[:30]) == [30]


def test_one_voice_is_one_speaker_and_no_voice_is_none() -> None:
    assert sizes(heard(0, 1), LONG[:1]) == [1]
    assert sizes(THREE[:0], LONG[:0]) == []


@pytest.mark.parametrize(
    ("limits", "count"),
    [
        (SpeakerLimits("required", 2, 2), 2),
        (SpeakerLimits("required", 1, 2), 2),
        (SpeakerLimits("required", 4, 6), 4),
        (SpeakerLimits("required", 1, 9), 3),
    ],
)
def test_the_number_of_speakers_can_be_given(limits: SpeakerLimits, count: int) -> None:
    assert len(sizes(THREE, LONG, limits)) == count


def test_short_speech_adds_no_speaker_and_joins_the_nearest() -> None:
    vectors = np.concatenate([heard(0, 20), heard(1, 20), heard(0, 3), heard(3, 3)])
    seconds = np.array([5.0] * 40 + [0.5] * 6)
    speakers, centres = cluster(vectors, seconds, SpeakerLimits())
    assert len(centres) == 2
    assert set(speakers[40:43]) == set(speakers[:20])


def test_a_recording_of_short_speech_alone_has_speakers() -> None:
    assert sizes(THREE, np.full(60, 0.5)) == [20, 20, 20]


def test_a_long_recording_is_compared_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "_MOST_COMPARED", 12)
    seen = []
    monkeypatch.setattr(
        clustering, "linkage", lambda vectors, **how: seen.append(len(vectors)) or linkage(vectors, **how)
    )
    assert sizes(THREE, LONG) == [20, 20, 20]
    assert seen == [12]


linkage = clustering.linkage
