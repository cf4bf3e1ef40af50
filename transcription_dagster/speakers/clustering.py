"""Cluster voice embeddings by speaker."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from transcription_dagster.model import SpeakerLimits

#: Largest average cosine distance between groups of voices of the same speaker.
THRESHOLD = 0.4
#: Voices from less speech than this (s) do not affect the number of speakers; they are only assigned to one.
_SURE_SECONDS = 1.2
#: At most this many voices are compared with each other, and the rest with the resulting speakers: time and memory of
#: the comparison grow with the square.
_MOST_COMPARED = 4000


def cluster(
    vectors: np.ndarray, seconds: np.ndarray, limits: SpeakerLimits, *, threshold: float = THRESHOLD
) -> tuple[np.ndarray, np.ndarray]:
    """Group voices by agglomerative clustering with average linkage of cosine distances.

    `vectors` (voices, dimensions) have length 1; `seconds` (voices,) is the speech behind each. Returns each voice's
    speaker, from 0, and the speakers' vectors (speakers, dimensions), of length 1.
    """
    if not len(vectors):
        return np.zeros(0, int), vectors
    compared = _compared(seconds)
    groups = _grouped(vectors[compared], limits, threshold)
    centres = np.stack([vectors[compared][groups == group].mean(axis=0) for group in range(groups.max() + 1)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    speakers = (vectors @ centres.T).argmax(axis=1)
    speakers[compared] = groups
    return speakers, centres


def _compared(seconds: np.ndarray) -> np.ndarray:
    """Return the indices of the voices that determine the number of speakers, spread over the recording."""
    sure = np.flatnonzero(seconds >= min(_SURE_SECONDS, seconds.max()))
    if len(sure) <= _MOST_COMPARED:
        return sure
    return sure[np.linspace(0, len(sure) - 1, _MOST_COMPARED).astype(int)]


def _grouped(vectors: np.ndarray, limits: SpeakerLimits, threshold: float) -> np.ndarray:
    if len(vectors) == 1:
        return np.zeros(1, int)
    tree = linkage(vectors, method="average", metric="cosine")
    groups = fcluster(tree, threshold, criterion="distance")
    most = limits.at_most or len(vectors)
    wanted = min(max(int(groups.max()), limits.at_least), most)
    if wanted != groups.max():
        groups = fcluster(tree, wanted, criterion="maxclust")
    return groups - 1
