"""From who talks in each window to the turns of a recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.model import SpeakerTurn
from transcription_dagster.speakers.segmentation import FRAME_OFFSET, FRAME_STEP, first_frame
from transcription_dagster.speakers.voices import Stretch

#: Windows tell no more than two speakers apart at one moment.
_AT_ONCE = 2
#: A turn lasts at least so many frames: a tenth of a second, in which no word can be said.
_SHORTEST = 6
#: Frames that are ranked at once, to keep memory small.
_PART = 100_000
#: By so much more does a stretch sound like one speaker than like another whose it is not.
_CLEARLY = 0.15


def talking(active: np.ndarray, speakers: np.ndarray, *, step: int) -> np.ndarray:
    """Say who talks in each frame of a recording: bool of shape (frames, speakers).

    `active` (windows, frames, local speakers) says who talks in windows that follow each other by `step` samples,
    `speakers` (windows, local speakers) whose voice each is; -1: it is not known. At a frame as many speakers talk as
    its windows say on average, and those whom most windows hear.
    """
    windows, length, _ = active.shape
    starts = [first_frame(window, step) for window in range(windows)]
    frames = starts[-1] + length if windows else 0
    heard = np.zeros((frames, int(speakers.max(initial=-1)) + 1), np.uint16)
    total, covered = np.zeros(frames, np.uint16), np.zeros(frames, np.uint16)
    for start, window, own in zip(starts, active, speakers, strict=True):
        here = slice(start, start + length)
        covered[here] += 1
        total[here] += window.sum(axis=1, dtype=np.uint16)
        for speaker in np.unique(own[own >= 0]):
            heard[here, speaker] += window[:, own == speaker].any(axis=1)
    talks = np.zeros(heard.shape, bool)
    for first in range(0, frames, _PART):
        part = slice(first, first + _PART)
        count = np.minimum(np.rint(total[part] / covered[part]), _AT_ONCE)
        order = np.argsort(-heard[part].astype(np.int32), axis=1, kind="stable")
        rank = np.argsort(order, axis=1, kind="stable")
        talks[part] = (rank < count[:, None]) & (heard[part] > 0)
    return talks


def by_their_own_voice(talks: np.ndarray, stretches: Sequence[Stretch], centres: np.ndarray) -> np.ndarray:
    """Return who talks in each frame, with the stretches corrected whose voice is clearly another speaker's.

    A window that hears a second speaker for a moment only takes the moment for the first one's. `talks` is what
    `talking` returns, `centres` (speakers, dimensions) the speakers' vectors.
    """
    talks = talks.copy()
    for stretch in stretches:
        here = talks[stretch.first : stretch.stop]
        single = here.sum(axis=1) == 1
        if not single.any():
            continue
        similarity = centres @ stretch.vector
        best, present = int(similarity.argmax()), int(here[single].sum(axis=0).argmax())
        if similarity[best] - similarity[present] > _CLEARLY:
            moved = np.flatnonzero(single & here[:, present])
            here[moved, present] = False
            here[moved, best] = True
    return talks


def turns_of(talks: np.ndarray, seconds: float) -> tuple[tuple[SpeakerTurn, ...], Sequence[int]]:
    """Return the turns in a recording of `seconds`, and its speakers' numbers in the order in which they are heard.

    `talks` is what `talking` returns. The first speaker of the order is `spk_0`.
    """
    found: list[tuple[float, float, int]] = []
    for speaker in range(talks.shape[1]):
        edges = np.diff(talks[:, speaker].astype(np.int8), prepend=0, append=0)
        for start, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
            begin, end = _time(int(start)), min(_time(int(stop)), seconds)
            if stop - start >= _SHORTEST and begin < end:
                found.append((begin, end, speaker))
    found.sort()
    order = list(dict.fromkeys(speaker for *_, speaker in found))
    turns = (SpeakerTurn(round(begin, 3), round(end, 3), f"spk_{order.index(who)}") for begin, end, who in found)
    return tuple(turns), order


def _time(frame: int) -> float:
    """Where a frame begins, in seconds: half a step before its middle."""
    return max(0, frame * FRAME_STEP + FRAME_OFFSET - FRAME_STEP // 2) / SAMPLE_RATE
