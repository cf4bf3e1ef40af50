"""Combine the speakers of overlapping windows into the turns of a recording."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from transcription_dagster.audio.mixing import SAMPLE_RATE
from transcription_dagster.model import SpeakerTurn
from transcription_dagster.speakers.segmentation import FRAME_OFFSET, FRAME_STEP, first_frame
from transcription_dagster.speakers.voices import VoiceStretch

#: A window distinguishes at most two simultaneous speakers.
_AT_ONCE = 2
#: Shortest turn in frames: a tenth of a second, too short for a word.
_SHORTEST = 6
#: Frames counted and ranked at once, to limit memory: about three minutes.
_PART = 10_000
#: A stretch is reassigned if it is this much more similar to another speaker.
_CLEARLY = 0.15


def talking(active: np.ndarray, speakers: np.ndarray, *, step: int) -> np.ndarray:
    """Return who speaks in each frame of a recording: bool of shape (frames, speakers).

    `active` (windows, frames, local speakers) says who speaks in windows that are `step` samples apart; `speakers`
    (windows, local speakers) maps them to speakers, with -1 for unknown. In each frame, the number of speakers is the
    average over its windows, and those detected by most windows speak.
    """
    windows, length, _ = active.shape
    starts = [first_frame(window, step) for window in range(windows)]
    frames = starts[-1] + length if windows else 0
    talks = np.zeros((frames, int(speakers.max(initial=-1)) + 1), bool)
    for first in range(0, frames, _PART):
        stop = min(first + _PART, frames)
        heard = np.zeros((stop - first, talks.shape[1]), np.uint16)
        total, covered = np.zeros(stop - first, np.uint16), np.zeros(stop - first, np.uint16)
        for number in range(bisect_right(starts, first - length), bisect_left(starts, stop)):
            begin, own = starts[number], speakers[number]
            window = active[number, max(0, first - begin) : stop - begin]
            here = slice(max(begin, first) - first, begin + length - first)
            covered[here] += 1
            total[here] += window.sum(axis=1, dtype=np.uint16)
            for speaker in np.unique(own[own >= 0]):
                heard[here, speaker] += window[:, own == speaker].any(axis=1)
        count = np.minimum(np.rint(total / covered), _AT_ONCE)
        order = np.argsort(-heard.astype(np.int32), axis=1, kind="stable")
        rank = np.argsort(order, axis=1, kind="stable")
        talks[first:stop] = (rank < count[:, None]) & (heard > 0)
    return talks


def by_their_own_voice(talks: np.ndarray, stretches: Sequence[VoiceStretch], centres: np.ndarray) -> np.ndarray:
    """Return who speaks in each frame, reassigning stretches whose voice clearly belongs to another speaker.

    A window that contains only a moment of a second speaker attributes it to the first one. `talks` is the result of
    `talking`, `centres` (speakers, dimensions) holds the speakers' vectors.
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


def speaker_turns(talks: np.ndarray, seconds: float) -> tuple[tuple[SpeakerTurn, ...], Sequence[int]]:
    """Return the turns in a recording of `seconds`, and its speakers' numbers in order of first appearance.

    `talks` is the result of `talking`. The first speaker of the order is `spk_0`.
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
    """Return the start of a frame in seconds: half a step before its middle."""
    return max(0, frame * FRAME_STEP + FRAME_OFFSET - FRAME_STEP // 2) / SAMPLE_RATE
