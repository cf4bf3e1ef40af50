"""Clustering of synthetic voice vectors by speaker."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from transcription_dagster.model import SpeakerLimits
from transcription_dagster.speakers import clustering
from transcription_dagster.speakers.clustering import THRESHOLD, cluster

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


def people(counts: dict[int, int], spread: float = 0.04) -> np.ndarray:
    """Return as many vectors of each person as given, in random order."""
    return RANDOM.permutation(np.concatenate([heard(person, count, spread) for person, count in counts.items()]))


def same_pairs(speakers: np.ndarray) -> np.ndarray:
    return speakers[:, None] == speakers


@pytest.mark.parametrize("limits", [SpeakerLimits(), SpeakerLimits("required", 3, 3), SpeakerLimits("required", 7, 9)])
@pytest.mark.parametrize("spread", [0.03, 0.06, 0.09])
def test_average_linkage_is_that_of_scipy(limits: SpeakerLimits, spread: float) -> None:
    vectors = people({0: 40, 1: 30, 2: 8, 3: 2}, spread)
    tree = linkage(vectors, method="average", metric="cosine")
    expected = fcluster(tree, THRESHOLD, criterion="distance")
    count = min(max(expected.max(), limits.at_least), limits.at_most or 99)
    expected = fcluster(tree, count, criterion="maxclust")
    speakers, _ = cluster(vectors, np.full(80, 5.0), limits)
    assert (same_pairs(speakers) == same_pairs(expected)).all()


def test_identical_voices_are_one_speaker() -> None:
    assert sizes(np.repeat(heard(0, 1), 50, axis=0), LONG[:50]) == [50]


def test_many_voices_are_grouped_in_blocks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = people({0: 300, 1: 200, 2: 100, 3: 6})
    exact, _ = cluster(vectors, np.full(606, 5.0), SpeakerLimits())
    monkeypatch.setattr(clustering, "_MAX_COMPARED", 300)
    monkeypatch.setattr(clustering, "_BLOCK", 50)
    # The last person is in few of the blocks, and in hardly any of them more than once.
    assert sizes(vectors, np.full(606, 5.0)) == [6, 100, 200, 300]
    in_blocks, _ = cluster(vectors, np.full(606, 5.0), SpeakerLimits())
    assert (same_pairs(exact) == same_pairs(in_blocks)).all()


def test_the_largest_groups_decide_if_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.concatenate([*(heard(person, 20, 0.01) for person in range(3)), heard(3, 1)])
    assert len(sizes(vectors, np.full(61, 5.0))) == 4
    monkeypatch.setattr(clustering, "_MAX_COMPARED", 3)
    monkeypatch.setattr(clustering, "_BLOCK", 20)
    assert len(sizes(vectors, np.full(61, 5.0))) == 3
