"""Cluster voice embeddings by speaker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from transcription_dagster.model import SpeakerLimits

#: Largest average cosine distance between groups of voices of the same speaker.
THRESHOLD = 0.4
#: Voices from less speech than this (s) do not affect the number of speakers; each joins the most similar one.
_RELIABLE_SECONDS = 1.2
#: At most this many voices, or groups of voices, are compared with each other: time and memory of the comparison grow
#: with the square. This many float32 distances take 64 MB.
_MAX_COMPARED = 4000
#: Of more voices, this many successive ones at a time are first grouped among themselves.
_BLOCK = 2000
#: Voices of one block that are within this part of the threshold are one group.
_SAME_VOICE = 0.5


def cluster(
    vectors: np.ndarray, seconds: np.ndarray, limits: SpeakerLimits, *, threshold: float = THRESHOLD
) -> tuple[np.ndarray, np.ndarray]:
    """Group voices by agglomerative clustering with average linkage of cosine distances.

    `vectors` (voices, dimensions) have length 1; `seconds` (voices,) is the speech behind each. Returns each voice's
    speaker, from 0, and the speakers' vectors (speakers, dimensions), of length 1.

    The voices of a long recording are grouped in two steps, as in BIRCH (T. Zhang et al., 1996): first the similar ones
    among successive voices, then these groups. The average cosine of two groups is the product of their vectors' sums
    by the numbers of their vectors, so that the second step needs no single vectors.
    """
    if not len(vectors):
        return np.zeros(0, int), vectors
    reliable = np.flatnonzero(seconds >= min(_RELIABLE_SECONDS, seconds.max()))
    parts = _parts(vectors[reliable], threshold)
    sums, counts = _sums(vectors[reliable], parts)
    # Small groups beyond the limit join the nearest speaker.
    compared = np.sort(np.argsort(-counts, kind="stable")[:_MAX_COMPARED])
    groups = _grouped(sums[compared], counts[compared], limits, threshold)
    centres, _ = _sums(sums[compared], groups)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    speakers = (vectors @ centres.T).argmax(axis=1)
    speaker_of_part = np.full(len(sums), -1)
    speaker_of_part[compared] = groups
    decided = speaker_of_part[parts]
    speakers[reliable[decided >= 0]] = decided[decided >= 0]
    return speakers, centres


def _parts(vectors: np.ndarray, threshold: float) -> np.ndarray:
    """Return the group of each voice, from 0: one for each of them unless there are too many to compare."""
    if len(vectors) <= _MAX_COMPARED:
        return np.arange(len(vectors))
    parts, groups = [], 0
    for first in range(0, len(vectors), _BLOCK):
        block = vectors[first : first + _BLOCK]
        parts.append(groups + _grouped(block, np.ones(len(block)), SpeakerLimits(), _SAME_VOICE * threshold))
        groups = int(parts[-1].max()) + 1
    return np.concatenate(parts)


def _sums(vectors: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of each group's vectors, and their number."""
    counts = np.bincount(groups)
    sums = np.zeros((len(counts), vectors.shape[1]), np.float32)
    np.add.at(sums, groups, vectors)
    return sums, counts


def _grouped(sums: np.ndarray, counts: np.ndarray, limits: SpeakerLimits, threshold: float) -> np.ndarray:
    """Return the speaker of each group of voices, from 0."""
    merges = sorted(_merges(sums, counts), key=lambda merge: merge[2])
    speakers = len(counts) - sum(height <= threshold for *_, height in merges)
    speakers = min(max(speakers, limits.at_least), limits.at_most or len(counts), len(counts))
    pairs = np.array([merge[:2] for merge in merges[: len(counts) - speakers]], int).reshape(-1, 2)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(counts),) * 2)
    return connected_components(links, directed=False)[1]


def _merges(sums: np.ndarray, counts: np.ndarray) -> Sequence[tuple[int, int, float]]:
    """Return the merges of average linkage as (a member of one group, a member of the other, distance), in no order.

    The algorithm is the nearest-neighbour chain (F. Murtagh, 1983): two groups that are each other's nearest are
    merged, whatever the others do. The distances of the new group follow from those of its parts (Lance and Williams,
    1967).
    """
    means = (sums / counts[:, None]).astype(np.float32)
    distances = np.float32(1) - means @ means.T
    # Rounding must not make a distance depend on its direction.
    distances = np.minimum(distances, distances.T)
    np.fill_diagonal(distances, np.inf)
    sizes = counts.astype(np.float32)
    merges: list[tuple[int, int, float]] = []
    chain: list[int] = []
    left = np.ones(len(counts), bool)
    while len(merges) < len(counts) - 1:
        if not chain or not left[chain[-1]]:
            chain = [int(left.argmax())]
        last = chain[-1]
        nearest = int(distances[last].argmin())
        # Among equally near groups, prefer the previous one, so that the chain ends.
        if len(chain) > 1 and distances[last, chain[-2]] <= distances[last, nearest]:
            previous = chain[-2]
            merges.append((last, previous, float(distances[last, previous])))
            total = sizes[last] + sizes[previous]
            joined = (sizes[last] * distances[last] + sizes[previous] * distances[previous]) / total
            joined[[last, previous]] = np.inf
            distances[last] = distances[:, last] = joined
            distances[previous] = distances[:, previous] = np.inf
            sizes[last] = total
            left[previous] = False
            del chain[-2:]
        else:
            chain.append(nearest)
    return merges
